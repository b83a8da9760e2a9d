import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

/** A page's time to its last byte, in milliseconds, at a thousand deployments. */
const BOUND = 20;
const MODELS = 20;
const DEPLOYMENTS = 50;
const ROUNDS = 30;

test('pages: rendered with their data among a thousand deployments', async ({ slipway, truss }) => {
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('bench-pages'));
  await slipway.reaches(model, deployment, 'ACTIVE');
  await slipway.kill('SIGTERM');
  const seed = fileURLToPath(new URL('seed.py', import.meta.url));
  execFileSync('python3', [seed, path.join(slipway.data, 'slipway.db'), String(MODELS), String(DEPLOYMENTS)]);
  await slipway.up();

  const slow: string[] = [];
  for (const address of [
    '/models',
    '/models/bench007',
    '/models/bench007/environments/production',
    '/models/bench007/deployments/d007x0000',
    '/usage',
  ]) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const start = performance.now();
      const response = await fetch(slipway.url + address, {
        headers: { authorization: `Bearer ${slipway.key}`, accept: 'text/html' },
        redirect: 'manual',
      });
      await response.text();
      times.push(performance.now() - start);
      expect(response.status, address).toBe(200);
    }
    const sorted = times.sort((a, b) => a - b);
    const [median, late] = [sorted[ROUNDS / 2]!, sorted[Math.floor(ROUNDS * 0.95)]!];
    console.log(`pages: ${address}: median ${median.toFixed(1)} ms, 95th ${late.toFixed(1)} ms (bound ${BOUND} at the median)`);
    if (median > BOUND) slow.push(address);
  }
  expect(slow, 'pages over the bound').toEqual([]);
});
