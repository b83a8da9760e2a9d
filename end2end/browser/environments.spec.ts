import AxeBuilder from '@axe-core/playwright';
import { EXAMPLES, unique } from '../support/truss.ts';
import { choose, expect, open, row, signIn, test } from '../support/test.ts';

test.describe('environments and replicas', () => {
  // One story over one push: what is made first is deleted last.
  test.describe.configure({ mode: 'serial' });

  let model: string;
  let deployment: string;

  test.beforeAll(async ({ slipway, truss }) => {
    ({ model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('environments')));
    await slipway.reaches(model, deployment, 'ACTIVE');
  });

  test.beforeEach(async ({ page, slipway }) => {
    await signIn(page, slipway);
  });

  test('an environment is made with its name and settings', async ({ page, slipway }) => {
    await open(page, `/models/${model}`);
    await page.getByRole('button', { name: 'Add environment' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('staging');
    await dialog.getByLabel('Max replicas').fill('3');
    await dialog.getByRole('checkbox', { name: 'Canary' }).check();
    await dialog.getByLabel('Length of the canary').fill('90s');
    await dialog.getByRole('checkbox', { name: 'Rolling' }).check();
    await dialog.getByLabel('Percent added first').fill('50');
    await dialog.getByLabel('Percent removed first').fill('50');
    await dialog.getByRole('button', { name: 'Create environment' }).click();
    await expect(dialog.getByRole('alert')).toContainText('max_unavailable_percent');
    await dialog.getByLabel('Percent removed first').fill('0');
    await dialog.getByRole('button', { name: 'Create environment' }).click();
    await expect(dialog).toHaveCount(0);
    await expect(page.getByRole('article', { name: 'staging' })).toBeVisible();
    const { body } = await slipway.rest('GET', `/v1/models/${model}/environments/staging`);
    expect(body.autoscaling_settings.max_replica).toBe(3);
    expect(body.promotion_settings).toMatchObject({ ramp_up_while_promoting: true, ramp_up_duration_seconds: 90 });
    expect(body.promotion_settings).toMatchObject({
      rolling_deploy: true,
      rolling_deploy_config: { max_surge_percent: 50, max_unavailable_percent: 0 },
    });
  });

  test('a key that is limited to an environment calls it and no other', async ({ page, slipway }) => {
    await open(page, '/settings/keys');
    await page.getByLabel('Name', { exact: true }).fill('staging-only');
    await page.getByLabel('May').selectOption('invoker');
    await page.locator('select[name="environments"]').selectOption('staging');
    await page.getByRole('button', { name: 'Make a key' }).click();
    const key = (await page.getByRole('region', { name: 'API key', exact: true }).innerText()).trim();
    await expect(row(page, 'staging-only').getByRole('cell', { name: 'staging', exact: true })).toBeVisible();
    const call = async (target: string) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      return (await fetch(`${slipway.url}/model/${model}/${target}/predict`, { method: 'POST', headers, body: '{}' })).status;
    };
    expect(await call('production')).toBe(403);
    expect(await call('environments/staging'), 'nothing is promoted there yet').toBe(404);
  });

  test('the scaling form says what a load comes to while one types, and saves it', async ({ page, slipway }) => {
    await open(page, `/models/${model}/environments/staging`);
    const form = page.getByRole('region', { name: 'Autoscaling' });
    await form.getByLabel('Max replicas').fill('10');
    await form.getByLabel('Concurrency target').fill('10');
    await form.getByLabel('Requests in flight').fill('25');
    await expect(form.getByRole('status')).toContainText('4 replicas');
    await form.getByLabel('Min replicas').fill('11');
    await expect(form.getByRole('status')).toContainText('min_replica: 11 is more than max_replica, 10');
    await form.getByRole('button', { name: 'Update' }).click();
    await expect(form.getByRole('alert')).toContainText('min_replica');
    await form.getByLabel('Min replicas').fill('1');
    await form.getByRole('button', { name: 'Update' }).click();
    await expect(page.getByText('These settings are in force.')).toBeVisible();
    const { body } = await slipway.rest('GET', `/v1/models/${model}/environments/staging`);
    expect(body.autoscaling_settings).toMatchObject({ min_replica: 1, max_replica: 10, concurrency_target: 10 });
  });

  test('a deactivated environment answers 404 and comes back', async ({ page, slipway }) => {
    await open(page, `/models/${model}/environments/production`);
    const address = `/model/${model}/production/predict`;
    await choose(page, 'production', 'Deactivate');
    await page.getByRole('dialog').getByRole('button', { name: 'Deactivate' }).click();
    await expect(page.getByText('Inactive', { exact: true }).first()).toBeVisible();
    expect((await slipway.predict(address)).status).toBe(404);
    await choose(page, 'production', 'Activate');
    await page.getByRole('dialog').getByRole('button', { name: 'Activate' }).click();
    await expect(page.getByText('Active', { exact: true }).first()).toBeVisible({ timeout: 60_000 });
    expect((await slipway.predict(address)).status).toBe(200);
  });

  test('sample traffic is sent and counted', async ({ page }) => {
    await open(page, `/models/${model}/environments/production`);
    await page.getByRole('button', { name: 'Send sample traffic' }).click();
    await expect(page.getByText(/Sample traffic: \d+ of 100 sent, [1-9]\d* answered\./)).toBeVisible();
    await expect(page.getByRole('button', { name: 'Send sample traffic' })).toBeDisabled();
  });

  test('a replica shows what it uses, and another one takes its place when it is terminated', async ({ page, slipway }) => {
    await open(page, `/models/${model}/deployments/${deployment}`);
    const replicas = page.getByRole('region', { name: 'Replicas' }).getByRole('table');
    await expect(replicas).toContainText(/\d+ MiB/);
    await expect(replicas).toContainText(/\d+ %/);
    const first = await replicas.getByRole('rowheader').first().innerText();
    const button = page.getByRole('button', { name: `Terminate ${first}` });
    // By keyboard alone: the focus begins on the safe side, Escape leaves, and the button has it back.
    await button.focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    await expect(dialog.getByRole('button', { name: 'Back' })).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(dialog).toHaveCount(0);
    await expect(button).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(dialog).toContainText('Another one starts in its place');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await expect(dialog).toHaveCount(0);
    await expect(page.getByRole('row', { name: first, exact: true })).toHaveCount(0, { timeout: 60_000 });
    await expect(replicas).toContainText('Ready', { timeout: 60_000 });
    expect((await slipway.predict(`/model/${model}/deployment/${deployment}/predict`)).status).toBe(200);
  });

  test('each change of its scaling says why, with what it was computed from', async ({ page, slipway }) => {
    const settings = { min_replica: 2, max_replica: 2 };
    await slipway.rest('PATCH', `/v1/models/${model}/environments/production`, { autoscaling_settings: settings });
    await open(page, `/models/${model}/deployments/${deployment}`);
    const decisions = page.getByRole('list', { name: 'Scaling decisions, newest first' });
    await expect(decisions).toContainText('from 1 to 2 replicas');
    await decisions.getByText('Computed from').first().click();
    await expect(decisions).toContainText('Formula');
    await expect(decisions).toContainText('1 → 2');
    const mark = page.getByRole('img', { name: 'from 1 to 2 replicas' });
    await mark.focus();
    await expect(page.locator('.told')).toContainText('from 1 to 2 replicas');
    const starts = page.getByRole('table', { name: 'Last starts by phase' });
    await expect(starts).toContainText('Spawn');
    await expect(starts.getByRole('row').nth(1)).toContainText(/\d m?s/);
    const phases = page.getByRole('table', { name: 'Median and 90th percentile by phase' });
    await expect(phases.getByRole('row', { name: 'Load' })).toContainText(/\d m?s/);
    settings.min_replica = 0;
    await slipway.rest('PATCH', `/v1/models/${model}/environments/production`, { autoscaling_settings: settings });
  });

  test('the development deployment is published without an environment', async ({ page, slipway, truss }) => {
    const listed = await slipway.rest('GET', `/v1/models/${model}`);
    const client = truss.spawn('push', `${EXAMPLES}/echo`, '--watch', '--remote', 'local', '--model-name', listed.body.name);
    await slipway.reaches(model, 'development', 'ACTIVE').finally(() => client.kill());
    await open(page, `/models/${model}`);
    await page.getByRole('button', { name: 'Actions for development' }).click();
    await expect(page.getByRole('list', { name: 'Actions for development' })).toContainText('keeps its name');
    await page.keyboard.press('Escape');
    await choose(page, 'development', 'Publish');
    const dialog = page.getByRole('dialog');
    const { violations } = await new AxeBuilder({ page }).include('dialog').analyze();
    expect(violations.map((violation) => violation.id)).toEqual([]);
    await dialog.getByLabel('Name').fill('from-development');
    await dialog.getByRole('button', { name: 'Publish' }).click();
    await expect(row(page, 'from-development')).toBeVisible();
    await expect(row(page, 'from-development').getByRole('link', { name: 'production' })).toHaveCount(0);
    await expect(page.getByRole('heading', { name: 'Development' })).toBeVisible();
  });

  test('a restricted environment says so, and whom it keeps out may look and call', async ({ page, browser, slipway }) => {
    await open(page, `/models/${model}/environments/production`);
    const access = page.getByRole('region', { name: 'Who may change it' });
    await expect(access).toContainText('Whoever may deploy changes production.');
    await access.getByRole('checkbox', { name: 'Restricted' }).check();
    await access.getByRole('button', { name: 'Save access' }).click();
    await expect(access).toContainText('Only admins change production, in every model.');
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map((violation) => violation.id)).toEqual([]);

    const made = await slipway.rest('POST', '/v1/api_keys', { name: 'kept-out', type: 'WORKSPACE_MANAGE_ALL' });
    const elsewhere = await browser.newContext();
    const other = await elsewhere.newPage();
    await signIn(other, { key: made.body.api_key });
    await open(other, `/models/${model}`);
    await expect(other.getByRole('article', { name: 'production' })).toContainText('restricted');
    await expect(other.getByRole('button', { name: 'Delete model' })).toBeDisabled();
    await open(other, `/models/${model}/environments/production`);
    const reason = 'production is restricted: only admins may change it';
    await expect(other.getByRole('button', { name: 'Promote…' })).toBeDisabled();
    const scaling = other.getByRole('region', { name: 'Autoscaling' });
    await expect(scaling).toContainText(reason);
    await expect(scaling.getByRole('button', { name: 'Update' })).toBeDisabled();
    await other.getByRole('button', { name: 'Actions for production' }).click();
    await expect(other.getByRole('list', { name: 'Actions for production' })).toContainText(reason);
    await expect(other.getByRole('checkbox', { name: 'Restricted' })).toHaveCount(0);
    await expect(other.getByText('Only admins say who may change it.')).toBeVisible();

    // What is lifted is open at once, in the other browser too.
    await access.getByRole('checkbox', { name: 'Restricted' }).uncheck();
    await access.getByRole('button', { name: 'Save access' }).click();
    await expect(access).toContainText('Whoever may deploy changes production.');
    await expect(scaling.getByRole('button', { name: 'Update' })).toBeEnabled();
    await elsewhere.close();
  });

  test('production stays, and another environment goes when its name is typed', async ({ page, slipway }) => {
    await open(page, `/models/${model}/environments/production`);
    await page.getByRole('button', { name: 'Actions for production' }).click();
    const menu = page.getByRole('list', { name: 'Actions for production' });
    await expect(menu.getByRole('button', { name: 'Delete environment' })).toBeDisabled();
    await expect(menu).toContainText('stays as long as its model');

    await open(page, `/models/${model}/environments/staging`);
    await choose(page, 'staging', 'Delete environment');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Type the name to confirm').fill('production');
    await expect(dialog.getByRole('button', { name: 'Delete' })).toBeDisabled();
    await dialog.getByLabel('Type the name to confirm').fill('staging');
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await expect(page).toHaveURL(new RegExp(`/models/${model}$`));
    await expect(page.getByRole('article', { name: 'staging' })).toHaveCount(0);
    expect((await slipway.rest('GET', `/v1/models/${model}/environments/staging`)).status).toBe(404);
  });

  test('the usage log can be downloaded', async ({ page }) => {
    await open(page, '/usage?days=1');
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download CSV' }).click();
    expect((await download).suggestedFilename()).toMatch(/^slipway-usage-\d{4}-\d\d-\d\d-to-\d{4}-\d\d-\d\d\.csv$/);
    await expect(page.getByRole('link', { name: 'Last 7 days' })).toBeVisible();
  });
});
