import { Load } from '../support/load.ts';
import { until } from '../support/slipway.ts';
import { saying, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

/** Requests a second through the whole rollout. */
const RATE = 200;
const WINDOW = 20;

test('canary: no request fails while ten stages go by', async ({ slipway, truss }) => {
  test.setTimeout(240_000);
  const name = unique('bench-canary');
  const blue = await truss.push(await saying('blue'), '--model-name', name);
  const { model } = blue;
  await slipway.reaches(model, blue.deployment, 'ACTIVE');
  const changed = await slipway.rest('PATCH', `/v1/models/${model}/environments/production`, {
    autoscaling_settings: { min_replica: 1, max_replica: 2, concurrency_target: 64, scale_down_delay: 3600 },
    promotion_settings: { ramp_up_while_promoting: true, ramp_up_duration_seconds: WINDOW },
  });
  expect(changed.status, JSON.stringify(changed.body)).toBe(200);
  const green = await truss.push(await saying('green'), '--model-name', name);
  await slipway.reaches(model, green.deployment, 'ACTIVE');

  const load = new Load(slipway, `/model/${model}/production/predict`, RATE);
  const begun = await slipway.rest('POST', `/v1/models/${model}/environments/production/promote`, {
    deployment_id: green.deployment,
  });
  expect(begun.status, JSON.stringify(begun.body)).toBe(200);
  await until(
    'the promotion has succeeded',
    async () => {
      const { body } = await slipway.rest('GET', `/v1/models/${model}/environments/production`);
      return body.current_deployment?.id === green.deployment;
    },
    120_000,
  );
  const samples = await load.stop();
  const seconds = (samples.at(-1)!.sent - samples[0]!.sent) / 1000;
  const rate = (samples.length / seconds).toFixed(0);
  console.log(`canary: ${samples.length} requests at ${rate}/s over ${seconds.toFixed(0)} s, ${load.failures.length} failed`);
  expect(load.failures).toEqual([]);
});
