import { performance } from 'node:perf_hooks';
import { Load } from '../support/load.ts';
import { until } from '../support/slipway.ts';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

/** What the slowest of a hundred answers may take, in milliseconds. */
const BOUND = 20;
const PER_SECOND = 200;
const SECONDS = 20;
const REPLICAS = 5;

test('reads: two hundred management reads a second while five replicas serve', async ({ slipway, truss }) => {
  test.setTimeout(300_000);
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('bench-reads'));
  await slipway.reaches(model, deployment, 'ACTIVE');
  const scaled = await slipway.rest('PATCH', `/v1/models/${model}/deployments/${deployment}/autoscaling_settings`, {
    min_replica: REPLICAS,
    max_replica: REPLICAS,
  });
  expect(scaled.status).toBe(200);
  await until('five replicas serve', async () => {
    const { body } = await slipway.rest('GET', `/v1/models/${model}/deployments/${deployment}`);
    return body.active_replica_count === REPLICAS;
  }, 120_000);

  const one = `/v1/models/${model}`;
  const routes = [
    '/v1/models',
    one,
    `${one}/deployments?limit=50`,
    `${one}/deployments/${deployment}`,
    `${one}/environments`,
    `${one}/environments/production`,
    `${one}/deployments/${deployment}/metrics`,
    `${one}/deployments/${deployment}/logs?limit=100`,
    '/v1/audit_logs',
    '/v1/instance_types',
  ];
  const times = new Map<string, number[]>(routes.map((route) => [route, []]));
  const load = new Load(slipway, `/model/${model}/production/predict`, 20);
  const open = new Set<Promise<void>>();
  // Connections are made and statements prepared before anything counts.
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(routes.map((route) => slipway.rest('GET', route)));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const begin = performance.now();
  for (let sent = 0; sent < PER_SECOND * SECONDS; sent += 1) {
    const due = begin + (sent * 1000) / PER_SECOND;
    const early = due - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const route = routes[sent % routes.length]!;
    const asked = (async () => {
      const start = performance.now();
      const response = await fetch(slipway.url + route, { headers: { authorization: `Bearer ${slipway.key}` } });
      await response.text();
      times.get(route)!.push(performance.now() - start);
      expect(response.status, route).toBe(200);
    })();
    open.add(asked);
    asked.finally(() => open.delete(asked));
  }
  await Promise.all(open);
  await load.stop();
  const at = (list: number[], share: number) => [...list].sort((a, b) => a - b)[Math.floor(list.length * share)]!;
  for (const [route, list] of times) {
    console.log(`reads: ${route.replaceAll(model, 'M').replaceAll(deployment, 'D')}: median ${at(list, 0.5).toFixed(1)} ms, 99th ${at(list, 0.99).toFixed(1)} ms`);
  }
  const all = [...times.values()].flat();
  const late = at(all, 0.99);
  console.log(`reads: all ${all.length} at ${PER_SECOND}/s: median ${at(all, 0.5).toFixed(1)} ms, 99th ${late.toFixed(1)} ms (bound ${BOUND})`);
  expect(load.failures).toEqual([]);
  expect(late).toBeLessThanOrEqual(BOUND);
});
