import { Load } from '../support/load.ts';
import { until } from '../support/slipway.ts';
import { saying, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

/** Requests a second through the whole rollout. */
const RATE = 200;
const WINDOW = 20;

test('canary: no request fails while one runs to its end, one is cancelled, and one runs again', async ({ slipway, truss }) => {
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

  const environment = `/v1/models/${model}/environments/production`;
  const promote = async (deployment: string) => {
    const begun = await slipway.rest('POST', `${environment}/promote`, { deployment_id: deployment });
    expect(begun.status, JSON.stringify(begun.body)).toBe(200);
  };
  const serves = (deployment: string) =>
    until(
      `production serves ${deployment}`,
      async () => (await slipway.rest('GET', environment)).body.current_deployment?.id === deployment,
      120_000,
    );

  const load = new Load(slipway, `/model/${model}/production/predict`, RATE);
  await promote(green.deployment);
  await serves(green.deployment);
  // Back again, cancelled when the candidate has answered a good part of the requests, and once more to the end.
  const turned = load.samples.length;
  await promote(blue.deployment);
  await until(
    'the candidate answered three hundred requests',
    async () => load.samples.slice(turned).filter((sample) => sample.side === 'blue').length > 300,
    120_000,
  );
  const canceled = await slipway.rest('POST', `${environment}/cancel_promotion`, {});
  expect(canceled.status, JSON.stringify(canceled.body)).toBe(200);
  await promote(blue.deployment);
  await serves(blue.deployment);
  const samples = await load.stop();
  const seconds = (samples.at(-1)!.sent - samples[0]!.sent) / 1000;
  const rate = (samples.length / seconds).toFixed(0);
  console.log(
    `canary: to the end, cancelled, and to the end again: ${samples.length} requests at ${rate}/s over ` +
      `${seconds.toFixed(0)} s, ${load.failures.length} failed`,
  );
  expect(load.failures).toEqual([]);
});
