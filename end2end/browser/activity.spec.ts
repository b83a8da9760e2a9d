import { readFile } from 'node:fs/promises';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, open, signIn, test } from '../support/test.ts';

test.describe('the activity', () => {
  let model: string;
  let deployment: string;
  let name: string;

  test.beforeAll(async ({ slipway, truss }) => {
    name = unique('activity');
    ({ model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', name));
    await slipway.reaches(model, deployment, 'ACTIVE', 'SCALED_TO_ZERO');
    const settings = { max_replica: 3, scale_down_delay: 60 };
    await slipway.rest('PATCH', `/v1/models/${model}/environments/production`, { autoscaling_settings: settings });
  });

  test('a model says who changed which setting from what, with links', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, `/models/${model}`);
    await page.getByRole('link', { name: 'Activity', exact: true }).last().click();
    await expect(page).toHaveURL(new RegExp(`/models/${model}/activity$`));
    const change = page.getByRole('row').filter({ hasText: 'settings of production were changed' });
    await expect(change).toContainText('API');
    await expect(change.locator('time').first()).toHaveAttribute('title', /\d{4}/);
    await change.getByText('2 settings').click();
    const settings = change.getByRole('table', { name: 'Settings before and after' });
    await expect(settings.getByRole('row', { name: 'scale_down_delay' })).toContainText('900');
    await expect(settings.getByRole('row', { name: 'scale_down_delay' })).toContainText('60');
    await change.getByRole('link', { name: 'production' }).click();
    await expect(page).toHaveURL(new RegExp(`/models/${model}/environments/production$`));
  });

  test('a model tells what was done to one deployment', async ({ page, slipway }) => {
    const { body } = await slipway.rest('GET', `/v1/models/${model}/deployments/${deployment}`);
    await signIn(page, slipway);
    await open(page, `/models/${model}/activity`);
    const form = page.getByRole('search');
    await form.getByLabel('Deployment').fill(body.name);
    await form.getByRole('button', { name: 'Filter' }).click();
    await expect(page).toHaveURL(new RegExp(`deployment=${body.name}`));
    await expect(form.getByLabel('Deployment')).toHaveValue(body.name);
    await expect(page.getByRole('row').filter({ hasText: 'was pushed' })).toBeVisible();
    await expect(page.getByText('settings of production were changed')).toHaveCount(0);
    await page.getByRole('link', { name: 'Show everything' }).click();
    await expect(page.getByText('settings of production were changed').first()).toBeVisible();
  });

  test('a new row comes by itself', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, `/models/${model}/activity`);
    await slipway.rest('POST', `/v1/models/${model}/environments`, { name: 'live' });
    await expect(page.getByRole('row').filter({ hasText: 'environment live was created' })).toBeVisible();
  });

  test('what is filtered stays in the address and is what is downloaded', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, '/activity');
    const form = page.getByRole('search');
    await form.getByLabel('What').selectOption('Environments');
    await form.getByLabel('Environment', { exact: true }).fill('production');
    await form.getByRole('button', { name: 'Filter' }).click();
    await expect(page).toHaveURL(/group=ENVIRONMENT_SETTINGS/);
    await expect(form.getByLabel('What')).toHaveValue('ENVIRONMENT_SETTINGS');
    const row = page.getByRole('row').filter({ hasText: 'settings of production were changed' });
    await expect(row.filter({ hasText: name })).toBeVisible();
    await expect(page.getByText('was pushed')).toHaveCount(0);
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download CSV' }).click();
    const file = await download;
    expect(file.suggestedFilename()).toMatch(/^slipway-activity-\d{4}-\d\d-\d\d\.csv$/);
    const text = await readFile(await file.path(), 'utf8');
    expect(text).toContain('scale_down_delay=900');
    expect(text).not.toContain('MODEL_DEPLOYED');
    await page.getByRole('link', { name: 'Show everything' }).click();
    await expect(page).toHaveURL(/\/activity$/);
    await expect(page.getByText('was pushed').first()).toBeVisible();
  });

  test('older rows are a link away, and nothing found is said', async ({ page, slipway }) => {
    for (let max = 4; max < 26; max += 1) {
      const settings = { max_replica: max };
      await slipway.rest('PATCH', `/v1/models/${model}/environments/production`, { autoscaling_settings: settings });
    }
    await signIn(page, slipway);
    await open(page, `/models/${model}/activity`);
    await page.getByRole('link', { name: 'Older' }).click();
    await expect(page.getByRole('row').filter({ hasText: 'was pushed' })).toBeVisible();
    await page.getByRole('link', { name: 'Newest' }).click();
    await expect(page).toHaveURL(/\/activity$/);
    await open(page, `/models/${model}/activity?who=nobody`);
    await expect(page.getByRole('heading', { name: 'Nothing matches' })).toBeVisible();
  });

  test.describe('without JavaScript', () => {
    test.use({ javaScriptEnabled: false });

    test('one can filter and turn pages', async ({ page, slipway }) => {
      await page.goto('/sign-in');
      await page.getByLabel('API key').fill(slipway.key);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.goto(`/models/${model}/activity`);
      await page.getByRole('combobox', { name: 'By', exact: true }).selectOption('Slipway itself');
      await page.getByRole('button', { name: 'Filter' }).click();
      await expect(page).toHaveURL(/source=SYSTEM/);
      await expect(page.getByRole('table')).toContainText('Slipway');
      await expect(page.getByText('was pushed')).toHaveCount(0);
    });
  });

  test('who is no admin is told where to look', async ({ page, slipway }) => {
    const made = await slipway.rest('POST', '/v1/api_keys', { name: unique('viewer'), type: 'WORKSPACE_MANAGE_ALL', role: 'viewer' });
    await open(page, '/sign-in');
    await page.getByLabel('API key').fill(made.body.api_key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page).toHaveURL(/\/models$/);
    await open(page, '/activity');
    await expect(page.getByRole('heading', { name: 'Not permitted' })).toBeVisible();
    await expect(page.getByText('is for admins')).toBeVisible();
    await open(page, `/models/${model}/activity`);
    await expect(page.getByRole('row').filter({ hasText: 'was pushed' }).or(page.getByRole('link', { name: 'Older' }))).toBeVisible();
  });
});
