import AxeBuilder from '@axe-core/playwright';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, open, row, signIn, test } from '../support/test.ts';

test('a model is deleted when its name is typed, and answers nobody any more', async ({ page, slipway, truss }) => {
  const name = unique('deleted');
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', name);
  await slipway.reaches(model, deployment, 'ACTIVE');
  const address = `/model/${model}/deployment/${deployment}/predict`;
  expect((await slipway.predict(address)).status).toBe(200);

  await signIn(page, slipway);
  await open(page, `/models/${model}`);
  await page.getByRole('button', { name: 'Delete model' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText(`${name} with its deployment and all its environments is deleted for good.`);
  // The focus begins on the safe side.
  await expect(dialog.getByRole('button', { name: 'Back' })).toBeFocused();
  const { violations } = await new AxeBuilder({ page }).include('dialog').analyze();
  expect(violations.map((violation) => violation.id)).toEqual([]);
  await dialog.getByLabel('Type the name to confirm').fill(name.toUpperCase());
  await expect(dialog.getByRole('button', { name: 'Delete' })).toBeDisabled();
  await dialog.getByRole('button', { name: 'Back' }).click();
  await expect(dialog).toHaveCount(0);
  expect((await slipway.rest('GET', `/v1/models/${model}`)).status).toBe(200);

  await page.getByRole('button', { name: 'Delete model' }).click();
  await dialog.getByLabel('Type the name to confirm').fill(name);
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await expect(page).toHaveURL(/\/models$/);
  await expect(row(page, name)).toHaveCount(0);
  expect((await slipway.rest('GET', `/v1/models/${model}`)).status).toBe(404);
  expect((await slipway.predict(address)).status).toBe(404);
});
