import { performance } from 'node:perf_hooks';
import type { Page } from '@playwright/test';
import { Load } from '../support/load.ts';
import { until, type Slipway } from '../support/slipway.ts';
import { saying, unique, type Truss } from '../support/truss.ts';
import { expect, open, row, signIn, status, test } from '../support/test.ts';

/** Stages of three seconds: long enough for every one to be seen. */
const WINDOW = '30s';

interface Sides {
  model: string;
  /** The name of the candidate, which serves nothing yet. */
  green: string;
}

/** A model whose production says blue, and a second deployment that says green. */
async function sides(slipway: Slipway, truss: Truss): Promise<Sides> {
  const name = unique('canary');
  const blue = await truss.push(await saying('blue'), '--model-name', name);
  await slipway.reaches(blue.model, blue.deployment, 'ACTIVE');
  const settings = { min_replica: 1, max_replica: 2, concurrency_target: 32, scale_down_delay: 3600 };
  const changed = await slipway.rest('PATCH', `/v1/models/${blue.model}/environments/production`, {
    autoscaling_settings: settings,
  });
  expect(changed.status, JSON.stringify(changed.body)).toBe(200);
  const green = await truss.push(await saying('green'), '--model-name', name, '--deployment-name', 'green');
  await slipway.reaches(blue.model, green.deployment, 'ACTIVE');
  return { model: blue.model, green: 'green' };
}

/** Promotes by the dialog and goes to the page that shows the ladder. */
async function startCanary(page: Page, { model, green }: Sides, window: string): Promise<void> {
  await open(page, `/models/${model}`);
  await row(page, green).getByRole('button', { name: 'Promote…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Environment').selectOption('production');
  await dialog.getByLabel('Strategy').selectOption('canary');
  await dialog.getByLabel('Window').fill(window);
  await expect(dialog.getByRole('list', { name: 'Planned stages' }).getByRole('listitem')).toHaveCount(10);
  await dialog.getByRole('button', { name: 'Start canary to production' }).click();
  await expect(dialog).toHaveCount(0);
  await open(page, `/models/${model}/environments/production`);
}

/** The rung that is lit, in percent; nothing between two rungs. */
async function rung(page: Page): Promise<number | undefined> {
  const lit = page.getByRole('list', { name: 'Canary stages' }).locator('[aria-current="step"] .share');
  const text = (await lit.allTextContents())[0];
  return text === undefined ? undefined : Number.parseInt(text, 10);
}

test('a canary walks ten stages under traffic and loses no request', async ({ page, slipway, truss }) => {
  test.setTimeout(180_000);
  const model = await sides(slipway, truss);
  await signIn(page, slipway);
  const load = new Load(slipway, `/model/${model.model}/production/predict`, 40);
  await startCanary(page, model, WINDOW);

  const seen: number[] = [];
  await until(
    'the promotion has succeeded',
    async () => {
      const now = await rung(page);
      if (now !== undefined && now !== seen.at(-1)) seen.push(now);
      return page.getByText('Succeeded', { exact: true }).isVisible();
    },
    90_000,
    () => `the ladder showed ${seen.join(', ')}`,
  );
  expect(seen).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);

  const after = performance.now();
  await until('a second of traffic on the new side', async () => performance.now() - after > 1000);
  const samples = await load.stop();
  expect(load.failures, 'requests that failed').toEqual([]);
  const green = samples.filter((sample) => sample.side === 'green');
  expect(green.length).toBeGreaterThan(0);
  expect(green.length).toBeLessThan(samples.length);
  expect(samples.filter((sample) => sample.sent > after && sample.side !== 'green')).toEqual([]);

  await open(page, `/models/${model.model}`);
  await expect(row(page, 'green').getByRole('link', { name: 'production' })).toBeVisible();
  await expect(status(row(page, 'deployment-1'), 'Scaled to zero')).toBeVisible({ timeout: 60_000 });
});

test('cancelling half-way sends all traffic back at once', async ({ page, slipway, truss }) => {
  test.setTimeout(180_000);
  const model = await sides(slipway, truss);
  await signIn(page, slipway);
  const load = new Load(slipway, `/model/${model.model}/production/predict`, 40);
  await startCanary(page, model, '60s');
  await until('three stages are behind', async () => ((await rung(page)) ?? 0) >= 40, 90_000);
  expect(load.samples.some((sample) => sample.side === 'green')).toBe(true);

  const answered = page.waitForResponse((response) => /cancel/.test(response.url()));
  await page.getByRole('button', { name: 'Cancel canary' }).click();
  expect((await answered).ok()).toBe(true);
  const back = performance.now();
  await expect(page.getByText('Canceled', { exact: true })).toBeVisible();
  await until('two seconds of traffic after the answer', async () => performance.now() - back > 2000);
  const samples = await load.stop();
  expect(load.failures, 'requests that failed').toEqual([]);
  const later = samples.filter((sample) => sample.sent > back);
  expect(later.length).toBeGreaterThan(0);
  expect(later.filter((sample) => sample.side !== 'blue'), 'requests to the candidate after the answer').toEqual([]);

  const { body } = await slipway.rest('GET', `/v1/models/${model.model}/environments/production`);
  expect(body.current_deployment.name).toBe('deployment-1');
  expect(body.candidate_deployment).toBeNull();
});

test('a canary is paused, resumed, and rolled forward after a look at what that means', async ({ page, slipway, truss }) => {
  test.setTimeout(180_000);
  const model = await sides(slipway, truss);
  await signIn(page, slipway);
  const load = new Load(slipway, `/model/${model.model}/production/predict`, 40);
  await startCanary(page, model, '60m');
  await until('the first stage has begun', async () => (await rung(page)) === 10, 60_000);
  const controls = page.getByRole('group', { name: 'Controls of the rollout' });
  const phase = page.locator('.rollout .phase');

  await controls.getByRole('button', { name: 'Pause' }).click();
  await expect(phase).toHaveText('Paused');
  await expect(page.getByRole('status').filter({ hasText: 'paused by' })).toBeVisible();
  await expect(page.getByText('Done at')).toHaveCount(0);
  await expect(controls.getByRole('button', { name: 'Pause' })).toHaveCount(0);
  await page.reload();
  await expect(phase).toHaveText('Paused');
  await controls.getByRole('button', { name: 'Resume' }).click();
  await expect(controls.getByRole('button', { name: 'Pause' })).toBeVisible();

  await controls.getByRole('button', { name: 'Roll forward…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Roll production forward' });
  await expect(dialog).toContainText('the way back is to promote deployment-1 again');
  await expect(dialog).toContainText('Pause');
  await dialog.getByRole('button', { name: 'Back' }).click();
  await expect(dialog).toHaveCount(0);
  expect(await rung(page)).toBe(10);
  await controls.getByRole('button', { name: 'Roll forward…' }).click();
  const answered = page.waitForResponse((response) => /force_roll_forward/.test(response.url()));
  await dialog.getByRole('button', { name: 'Roll forward', exact: true }).click();
  expect((await answered).ok()).toBe(true);
  const forward = performance.now();
  await expect(page.getByText('Succeeded', { exact: true })).toBeVisible();
  await until('a second of traffic after the answer', async () => performance.now() - forward > 1000);
  const samples = await load.stop();
  expect(load.failures, 'requests that failed').toEqual([]);
  const later = samples.filter((sample) => sample.sent > forward);
  expect(later.length).toBeGreaterThan(0);
  expect(later.filter((sample) => sample.side !== 'green')).toEqual([]);
});
