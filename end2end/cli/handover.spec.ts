import { Load } from '../support/load.ts';
import { EXAMPLES, saying, unique } from '../support/truss.ts';
import { replicas } from '../support/processes.ts';
import { until } from '../support/slipway.ts';
import { expect, test } from '../support/test.ts';

test('a new server takes over twice in the middle of a canary, and no request is lost', async ({ slipway, truss }) => {
  test.setTimeout(240_000);
  const name = unique('handover');
  const blue = await truss.push(await saying('blue'), '--model-name', name);
  const { model } = blue;
  await slipway.reaches(model, blue.deployment, 'ACTIVE');
  const environment = `/v1/models/${model}/environments/production`;
  const changed = await slipway.rest('PATCH', environment, {
    autoscaling_settings: { min_replica: 1, max_replica: 2, concurrency_target: 64, scale_down_delay: 3600 },
    promotion_settings: { ramp_up_while_promoting: true, ramp_up_duration_seconds: 30 },
  });
  expect(changed.status, JSON.stringify(changed.body)).toBe(200);
  const green = await truss.push(await saying('green'), '--model-name', name);
  await slipway.reaches(model, green.deployment, 'ACTIVE');
  const words = await truss.push(`${EXAMPLES}/stream`, '--model-name', unique('words'));
  await slipway.reaches(words.model, words.deployment, 'ACTIVE');
  const before = replicas(slipway.data);

  const load = new Load(slipway, `/model/${model}/production/predict`, 100);
  const begun = await slipway.rest('POST', `${environment}/promote`, { deployment_id: green.deployment });
  expect(begun.status, JSON.stringify(begun.body)).toBe(200);
  await until('both sides answer', async () => new Set(load.samples.map((sample) => sample.side)).size === 2);

  // A stream that begins before the first takeover, and ends after it.
  const stream = slipway.predict(`/model/${words.model}/production/predict`, { prompt: 'one two three four', pause: 1 });
  await new Promise((resolve) => setTimeout(resolve, 500));
  await slipway.replace();
  expect(await stream).toEqual({ status: 200, body: 'one two three four ' });
  await slipway.replace();

  await until(
    'the canary goes on to its end',
    async () => (await slipway.rest('GET', environment)).body.current_deployment?.id === green.deployment,
    120_000,
  );
  const samples = await load.stop();
  expect(load.failures).toEqual([]);
  expect(samples.length).toBeGreaterThan(1_000);
  const kept = replicas(slipway.data);
  expect(before.filter((pid) => !kept.includes(pid)), 'the same processes serve on').toEqual([]);
});
