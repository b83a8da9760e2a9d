import { readFileSync } from 'node:fs';
import { until } from '../support/slipway.ts';
import { signIn, test, expect } from '../support/test.ts';

/** What the server may hold in memory while nothing happens, in MiB. */
const BOUND = 60;

/** A process's resident memory in MiB. */
function resident(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? Number.NaN) / 1024;
}

test('idle: a server that was looked at and left alone is small', async ({ page, slipway }) => {
  await signIn(page, slipway);
  await page.goto('about:blank');
  const since = Date.now();
  await until('ten quiet seconds', async () => Date.now() - since > 10_000);
  const used = resident(slipway.pid);
  console.log(`idle: ${used.toFixed(1)} MiB resident (bound ${BOUND})`);
  expect(used).toBeLessThanOrEqual(BOUND);
});
