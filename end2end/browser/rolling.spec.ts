import { performance } from 'node:perf_hooks';
import type { Page } from '@playwright/test';
import { Load } from '../support/load.ts';
import { until, type Slipway } from '../support/slipway.ts';
import { saying, unique, type Truss } from '../support/truss.ts';
import { expect, open, row, signIn, test } from '../support/test.ts';

/** A model whose production rolls by half and has its two replicas, and a second deployment that says green. */
async function sides(slipway: Slipway, truss: Truss): Promise<string> {
  const name = unique('rolling');
  const blue = await truss.push(await saying('blue'), '--model-name', name);
  await slipway.reaches(blue.model, blue.deployment, 'ACTIVE');
  const changed = await slipway.rest('PATCH', `/v1/models/${blue.model}/environments/production`, {
    autoscaling_settings: { min_replica: 2, max_replica: 2, concurrency_target: 32, scale_down_delay: 3600 },
    promotion_settings: {
      rolling_deploy: true,
      rolling_deploy_config: { max_surge_percent: 50, stabilization_time_seconds: 3600 },
    },
  });
  expect(changed.status, JSON.stringify(changed.body)).toBe(200);
  await until('both replicas serve', async () => {
    const [only] = await slipway.deployments(blue.model);
    return only?.active_replica_count === 2;
  }, 60_000);
  const green = await truss.push(await saying('green'), '--model-name', name, '--deployment-name', 'green');
  await slipway.reaches(blue.model, green.deployment, 'ACTIVE');
  return blue.model;
}

/** Promotes by the dialog, and waits until one of the two replicas has moved. */
async function halfWay(page: Page, model: string): Promise<void> {
  await open(page, `/models/${model}`);
  await row(page, 'green').getByRole('button', { name: 'Promote…' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('Strategy')).toHaveValue('rolling');
  await dialog.getByRole('button', { name: 'Promote to production' }).click();
  await expect(dialog).toHaveCount(0);
  await open(page, `/models/${model}/environments/production`);
  await expect(page.locator('.moved')).toContainText('1 of 2 replicas moved', { timeout: 60_000 });
}

test('a rolling promotion is paused, resumed, and canceled at once without losing a request', async ({ page, slipway, truss }) => {
  test.setTimeout(240_000);
  const model = await sides(slipway, truss);
  await signIn(page, slipway);
  const load = new Load(slipway, `/model/${model}/production/predict`, 40);
  await halfWay(page, model);
  const controls = page.getByRole('group', { name: 'Controls of the rollout' });
  const phase = page.locator('.rollout .phase');

  await controls.getByRole('button', { name: 'Pause' }).click();
  await expect(phase).toHaveText('Paused');
  await expect(page.getByRole('status').filter({ hasText: 'paused by' })).toBeVisible();
  await expect(controls.getByRole('button', { name: 'Pause' })).toHaveCount(0);
  await page.reload();
  await expect(phase).toHaveText('Paused');
  await expect(page.locator('.moved')).toContainText('1 of 2 replicas moved');
  await controls.getByRole('button', { name: 'Resume' }).click();
  await expect(controls.getByRole('button', { name: 'Pause' })).toBeVisible();
  await expect(phase).not.toHaveText('Paused');
  await until('the candidate answers', async () => load.samples.some((sample) => sample.side === 'green'));

  const answered = page.waitForResponse((response) => /force_cancel/.test(response.url()));
  await controls.getByRole('button', { name: 'Cancel at once' }).click();
  expect((await answered).ok()).toBe(true);
  await expect(page.getByText('Canceled', { exact: true })).toBeVisible({ timeout: 60_000 });
  await expect(controls).toHaveCount(0);
  const back = performance.now();
  await until('a second of traffic after it is back', async () => performance.now() - back > 1000);
  const samples = await load.stop();
  expect(load.failures, 'requests that failed').toEqual([]);
  const later = samples.filter((sample) => sample.sent > back);
  expect(later.length).toBeGreaterThan(0);
  expect(later.filter((sample) => sample.side !== 'blue')).toEqual([]);

  const { body } = await slipway.rest('GET', `/v1/models/${model}/environments/production`);
  expect(body.current_deployment.name).toBe('deployment-1');
  expect(body.candidate_deployment).toBeNull();
});
