import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

/** A page's or an answer's time to its last byte, in milliseconds, among ten thousand deployments. */
const BOUND = 50;
const ROUNDS = 40;

/** Ten thousand deployments: first all of one model, then over two hundred models. */
for (const [models, deployments] of [
  [1, 10_000],
  [200, 50],
] as const) {
  test(`lists: ${models} model${models > 1 ? 's' : ''} with ${deployments} deployments each`, async ({ slipway, truss }) => {
    test.setTimeout(400_000);
    const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('bench-lists'));
    await slipway.reaches(model, deployment, 'ACTIVE');
    await slipway.kill('SIGTERM');
    // The tests share a server.
    const prefix = `m${models}`;
    const seed = fileURLToPath(new URL('seed.py', import.meta.url));
    execFileSync('python3', [seed, path.join(slipway.data, 'slipway.db'), String(models), String(deployments), prefix]);
    await slipway.up();

    const first = await slipway.rest('GET', `/v1/models/${prefix}bench000/deployments?limit=100`);
    const further = first.body.pagination.cursor ?? '';
    const slow: string[] = [];
    for (const address of [
      '/models',
      `/models/${prefix}bench000`,
      ...(further ? [`/models/${prefix}bench000?cursor=${further}`] : []),
      `/models/${prefix}bench000/environments/production`,
      `/models/${prefix}bench000/deployments/${prefix}d000x0007`,
      '/v1/models?limit=100',
      `/v1/models/${prefix}bench000`,
      `/v1/models/${prefix}bench000/deployments?limit=100`,
      ...(further ? [`/v1/models/${prefix}bench000/deployments?limit=100&cursor=${further}`] : []),
      `/v1/models/${prefix}bench000/deployments/${prefix}d000x0007`,
    ]) {
      const times: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const start = performance.now();
        const response = await fetch(slipway.url + address, {
          headers: { authorization: `Bearer ${slipway.key}`, accept: address.startsWith('/v1') ? '*/*' : 'text/html' },
          redirect: 'manual',
        });
        await response.text();
        times.push(performance.now() - start);
        expect(response.status, address).toBe(200);
        // Not faster than the rate that a key may ask at.
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
      const sorted = times.sort((a, b) => a - b);
      const [median, late] = [sorted[ROUNDS / 2]!, sorted[Math.floor(ROUNDS * 0.99)]!];
      console.log(`lists: ${models} × ${deployments}: ${address.replace(further || '-', '…')}: median ${median.toFixed(1)} ms, slowest ${late.toFixed(1)} ms (bound ${BOUND} at the median)`);
      if (median > BOUND) slow.push(address);
    }
    expect(slow, 'over the bound').toEqual([]);
  });
}
