import { Load } from '../support/load.ts';
import { until } from '../support/slipway.ts';
import { saying } from '../support/truss.ts';
import { expect, open, signIn, test } from '../support/test.ts';

// Takes the README's picture anew: npx playwright test --project=pictures
test('a canary half-way', async ({ page, slipway, truss }) => {
  test.setTimeout(240_000);
  const blue = await truss.push(await saying('blue'), '--model-name', 'Iris');
  const { model } = blue;
  await slipway.reaches(model, blue.deployment, 'ACTIVE');
  await slipway.rest('PATCH', `/v1/models/${model}/environments/production`, {
    autoscaling_settings: { min_replica: 1, max_replica: 2, concurrency_target: 32, scale_down_delay: 3600 },
    promotion_settings: { ramp_up_while_promoting: true, ramp_up_duration_seconds: 60 },
  });
  const green = await truss.push(await saying('green'), '--model-name', 'Iris', '--deployment-name', 'better-iris');
  await slipway.reaches(model, green.deployment, 'ACTIVE');
  const load = new Load(slipway, `/model/${model}/production/predict`, 40);
  await slipway.rest('POST', `/v1/models/${model}/environments/production/promote`, { deployment_id: green.deployment });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
  await signIn(page, slipway);
  await open(page, `/models/${model}/environments/production`);
  const lit = page.getByRole('list', { name: 'Canary stages' }).locator('[aria-current="step"] .share');
  await until('the fourth stage', async () => (await lit.allTextContents())[0]?.startsWith('40') ?? false, 90_000);
  await page.screenshot({ path: '../docs/screenshot.png' });
  await load.stop();
  expect(load.failures).toEqual([]);
});
