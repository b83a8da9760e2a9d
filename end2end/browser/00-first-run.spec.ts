import { EXAMPLES } from '../support/truss.ts';
import { expect, open, row, signIn, status, test } from '../support/test.ts';

// Named so that it runs before the others: it is the only one that meets a server without models.
test.describe('the first minutes', () => {
  test('nobody gets in without a key', async ({ page }) => {
    await open(page, '/models');
    await expect(page).toHaveURL(/\/sign-in/);
    await page.getByLabel('API key').fill('not-a-key-of-this-server');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page.getByRole('alert')).not.toBeEmpty();
    await expect(page).toHaveURL(/\/sign-in/);
  });

  test('the first push appears by itself and becomes active', async ({ page, slipway, truss }) => {
    await signIn(page, slipway);
    await expect(page.getByRole('heading', { name: 'Push your first model' })).toBeVisible();
    await expect(page.getByText('truss push').first()).toBeVisible();

    const pushed = await truss.push(`${EXAMPLES}/echo`);
    const model = row(page, 'Echo');
    await expect(model).toBeVisible();
    await model.getByRole('link', { name: 'Echo' }).click();
    await expect(page).toHaveURL(new RegExp(`/models/${pushed.model}$`));
    // Production goes to the first deployment that becomes active, without a reload of the page.
    await expect(status(row(page, 'deployment-1'), 'Active')).toBeVisible({ timeout: 60_000 });
    await expect(row(page, 'deployment-1').getByRole('link', { name: 'production' })).toBeVisible();

    const answer = await slipway.predict(`/model/${pushed.model}/production/predict`, { hello: 'world' });
    expect(answer.status).toBe(200);
    expect(answer.body.echo).toEqual({ hello: 'world' });
  });
});
