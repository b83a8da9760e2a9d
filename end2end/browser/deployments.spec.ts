import { EXAMPLES, unique } from '../support/truss.ts';
import { choose, expect, open, row, signIn, status, test } from '../support/test.ts';

/** Pushes two deployments of one model and waits for both; the first one serves production. */
test.describe('deployments of a model', () => {
  // One story: what is renamed first is deactivated next and deleted last.
  test.describe.configure({ mode: 'serial' });

  let model: string;
  let first: string;
  let second: string;

  test.beforeAll(async ({ slipway, truss }) => {
    const name = unique('deployments');
    ({ model, deployment: first } = await truss.push(`${EXAMPLES}/echo`, '--model-name', name));
    await slipway.reaches(model, first, 'ACTIVE');
    const again = await truss.push(`${EXAMPLES}/echo`, '--model-name', name, '--deployment-name', 'better-echo');
    second = again.deployment;
    await slipway.reaches(model, second, 'ACTIVE', 'SCALED_TO_ZERO');
  });

  test.beforeEach(async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, `/models/${model}`);
  });

  test('names come from the push, or are numbered', async ({ page }) => {
    await expect(row(page, 'deployment-1')).toBeVisible();
    await expect(row(page, 'better-echo')).toBeVisible();
  });

  test('a deployment can be renamed, and a taken name is refused where one types', async ({ page, slipway }) => {
    await choose(page, 'better-echo', 'Rename');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('deployment-1');
    await dialog.getByRole('button', { name: 'Rename' }).click();
    await expect(dialog.getByRole('alert')).toContainText('deployment-1');
    await dialog.getByLabel('Name').fill('best-echo');
    await dialog.getByRole('button', { name: 'Rename' }).click();
    await expect(row(page, 'best-echo')).toBeVisible();
    await expect(row(page, 'better-echo')).toHaveCount(0);
    await expect(dialog).toHaveCount(0);

    const listed = await slipway.deployments(model);
    expect(listed.find((deployment) => deployment.id === second)?.name).toBe('best-echo');
  });

  test('a deactivated deployment answers 404, and comes back', async ({ page, slipway }) => {
    const address = `/model/${model}/deployment/${second}/predict`;
    expect((await slipway.predict(address)).status).toBe(200);

    await choose(page, 'best-echo', 'Deactivate');
    await page.getByRole('dialog').getByRole('button', { name: 'Deactivate' }).click();
    await expect(status(row(page, 'best-echo'), 'Inactive')).toBeVisible();
    const refused = await slipway.predict(address);
    expect(refused.status).toBe(404);
    expect(refused.body.error_code).toBe('model_does_not_exist');
    expect(refused.body.error).toContain('deactivated');

    await choose(page, 'best-echo', 'Activate');
    await page.getByRole('dialog').getByRole('button', { name: 'Activate' }).click();
    await expect(status(row(page, 'best-echo'), 'Active')).toBeVisible({ timeout: 60_000 });
    expect((await slipway.predict(address)).status).toBe(200);
  });

  test('what serves production can not be deleted, and the menu says why', async ({ page, slipway }) => {
    await page.getByRole('button', { name: 'Actions for deployment-1' }).click();
    const menu = page.getByRole('list', { name: 'Actions for deployment-1' });
    await expect(menu.getByRole('button', { name: 'Delete', exact: true })).toBeDisabled();
    await expect(menu).toContainText('promote another deployment first');
    const refused = await slipway.rest('DELETE', `/v1/models/${model}/deployments/${first}`);
    expect(refused.status).toBe(400);
    expect(refused.body.message).toContain('promote another deployment first');
  });

  test('the menu opens with the keyboard, gives the focus back, and closes at a second click', async ({ page }) => {
    const button = page.getByRole('button', { name: 'Actions for deployment-1', exact: true });
    const menu = page.getByRole('list', { name: 'Actions for deployment-1', exact: true });
    for (const key of ['Enter', 'Space', 'ArrowDown']) {
      // Each time as the page comes: the menu is made when it is first used.
      await open(page, `/models/${model}`);
      await expect(button).toHaveAttribute('aria-expanded', 'false');
      await expect(menu).toHaveCount(0);
      await button.focus();
      await page.keyboard.press(key);
      await expect(menu).toBeVisible();
      await expect(button).toBeFocused();
      await page.keyboard.press('Tab');
      await expect(menu.getByRole('button', { name: 'Rename', exact: true })).toBeFocused();
      await page.keyboard.press('Escape');
      await expect(menu).toBeHidden();
      await expect(button).toBeFocused();
    }
    await expect(page).toHaveURL(new RegExp(`/models/${model}$`));
    await button.click();
    await expect(menu).toBeVisible();
    await button.click();
    await expect(menu).toBeHidden();
  });

  test('a deleted deployment leaves the page and stays in the usage log', async ({ page, slipway }) => {
    await choose(page, 'best-echo', 'Delete');
    const dialog = page.getByRole('dialog');
    await expect(dialog).toContainText('Deactivate');
    await dialog.getByLabel('Type the name to confirm').fill('something-else');
    await expect(dialog.getByRole('button', { name: 'Delete' })).toBeDisabled();
    await dialog.getByLabel('Type the name to confirm').fill('best-echo');
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await expect(row(page, 'best-echo')).toHaveCount(0);

    const address = `/model/${model}/deployment/${second}/predict`;
    expect((await slipway.predict(address)).status).toBe(404);
    // Use is written down once a minute.
    await expect(async () => {
      await open(page, '/usage');
      const used = page.getByRole('row').filter({ hasText: 'best-echo' });
      await expect(used.first()).toContainText('deleted', { timeout: 1000 });
    }).toPass({ timeout: 80_000 });
  });
});
