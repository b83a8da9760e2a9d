import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { EXAMPLES, unique } from '../support/truss.ts';
import { until } from '../support/slipway.ts';
import { expect, test } from '../support/test.ts';

/** Two hundred models of fifty deployments. */
const [MODELS, DEPLOYMENTS] = [200, 50];
/** What a server that knows them all may take while nothing happens: percent of a core, and MiB. */
const BUSY = 0.5;
const MEMORY = 150;
/** From the start of a server that was killed to an answer of a model, in milliseconds. */
const BACK = 1_000;
/** How long it is watched, in seconds; a multiple of the minute at which use and metrics are written. */
const WATCHED = 120;

/** Hundredths of a second of processor time that a process has used. */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function resident(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

test(`scale: a server with ${MODELS * DEPLOYMENTS} deployments rests, and is soon back`, async ({ slipway, truss }) => {
  test.setTimeout(600_000);
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('bench-scale'));
  await slipway.reaches(model, deployment, 'ACTIVE');
  await slipway.kill('SIGKILL');
  const seed = fileURLToPath(new URL('seed.py', import.meta.url));
  execFileSync('python3', [seed, path.join(slipway.data, 'slipway.db'), String(MODELS), String(DEPLOYMENTS), 'scale']);
  const address = `/model/${model}/environments/production/predict`;
  const start = performance.now();
  const up = slipway.up();
  await until('a model answers', async () => (await slipway.predict(address).catch(() => undefined))?.status === 200);
  const back = performance.now() - start;
  await up;
  // The first looks at everything, and the sweep of the disk, are the start's.
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  const before = ticks(slipway.pid);
  await new Promise((resolve) => setTimeout(resolve, WATCHED * 1_000));
  const busy = (ticks(slipway.pid) - before) / WATCHED;
  const used = resident(slipway.pid);
  console.log(`scale: back after ${back.toFixed(0)} ms (bound ${BACK})`);
  console.log(`scale: ${busy.toFixed(2)} % of a core while nothing happens (bound ${BUSY}), ${used.toFixed(0)} MiB (bound ${MEMORY})`);
  expect.soft(back).toBeLessThanOrEqual(BACK);
  expect.soft(busy).toBeLessThanOrEqual(BUSY);
  expect.soft(used).toBeLessThanOrEqual(MEMORY);
});
