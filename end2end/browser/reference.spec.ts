import { expect, open, signIn, test } from '../support/test.ts';

test.describe('the reference of the management API', () => {
  test('tells of a route, its parameters and what it answers, at an address of its own', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, '/settings/keys');
    await page.getByRole('link', { name: 'API reference' }).click();
    await expect(page).toHaveURL(/\/reference$/);
    await expect(page.getByRole('heading', { level: 1, name: 'API reference' })).toBeVisible();
    const route = page.locator('#get_models_model_id_deployments_deployment_id_startups');
    await expect(route.getByRole('heading', { level: 3 })).toHaveText('GET /v1/models/{model_id}/deployments/{deployment_id}/startups');
    await expect(route).toContainText('start_epoch_millis');
    await expect(route).toContainText('1 to 100');
    await route.getByRole('link', { name: 'StartupAttempts' }).click();
    await expect(page).toHaveURL(/\/reference#StartupAttempts$/);
    await expect(page.locator('#StartupAttempts')).toContainText('total_count');
  });

  test('fits a narrow screen', async ({ page, slipway }) => {
    await page.setViewportSize({ width: 375, height: 720 });
    await signIn(page, slipway);
    await open(page, '/reference');
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(beyond, 'pixels beyond the screen').toBeLessThanOrEqual(0);
  });
});

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });

  test('the reference is whole', async ({ page, slipway }) => {
    await page.goto('/sign-in');
    await page.getByLabel('API key').fill(slipway.key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.goto('/reference');
    await expect(page.locator('#post_models')).toContainText('Push a new model');
    await expect(page.locator('#UpdateAutoscaling')).toContainText('10 to 3600');
  });
});
