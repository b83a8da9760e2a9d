import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { Callers, permitted } from '../support/callers.ts';
import { done, replica, running } from '../support/canary.ts';
import { Figures } from '../support/figures.ts';
import { LAST_CORE } from '../support/peers.ts';
import { PORT, until } from '../support/slipway.ts';
import { expect, test } from '../support/test.ts';
import { unique } from '../support/truss.ts';

const ROUNDS = Number(process.env.SLIPWAY_BENCH_ROUNDS ?? 5);
/** Seconds of one turn. */
const SECONDS = 3;
/** Replicas, and requests that each may have; every one takes it 5 ms. */
const REPLICAS = 2;
const TARGET = 8;
/** What becomes of a request that finds every place taken. */
const POLICIES = ['REJECT_ON_FULL', 'QUEUE_ON_FULL'];
/** The part of the best throughput that is left when twice as much arrives. */
const LEFT = 0.95;
/** What ten times as much may add to the server's memory, in MiB: its queues are bounded. */
const GROWTH = 16;

test.use({ settings: { ...permitted(), SLIPWAY_GATEWAY_THREADS: '1' } });

test('overload: what is answered while twice as much arrives as can be', async ({ slipway, truss }) => {
  test.setTimeout(300_000 + ROUNDS * 60_000);
  const { model, deployment } = await truss.push(await replica(), '--model-name', unique('bench-overload'));
  await slipway.reaches(model, deployment, 'ACTIVE');
  const production = `/v1/models/${model}/environments/production`;
  const autoscaling_settings = { min_replica: REPLICAS, max_replica: REPLICAS, concurrency_target: TARGET };
  await done(slipway.rest('PATCH', production, { autoscaling_settings }));
  await until('all replicas serve', async () => running(slipway, deployment).length === REPLICAS, 90_000);
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(LAST_CORE), String(slipway.pid)]);
  const proxy = { name: 'slipway', port: PORT, pids: [slipway.pid] };
  const callers = new Callers(`/model/${model}/production/predict`, slipway.key);
  const figures = new Figures();
  const before = loadavg()[0]!;

  for (let round = 0; round < ROUNDS; round += 1) {
    for (const policy of POLICIES) {
      await done(slipway.rest('PATCH', production, { request_backpressure_settings: { policy } }));
      const most = await callers.work(proxy, REPLICAS * TARGET, SECONDS);
      const over = await callers.flood(proxy, 2 * most.per_second, SECONDS);
      figures.note('answered/s, as many as there are places', 'slipway', most.per_second, 0);
      figures.note(`${policy}: answered/s, twice as many`, 'slipway', over.per_second, 0);
      figures.count(`${policy}: of them not answered with 200`, 'slipway', over.tally.lost);
      figures.note(`${policy}: part of the best`, 'slipway', over.per_second / most.per_second, 3);
      const used = resident(slipway.pid);
      await callers.flood(proxy, 10 * most.per_second, SECONDS);
      figures.note(`${policy}: MiB more after ten times as many`, 'slipway', resident(slipway.pid) - used, 1);
    }
  }
  for (const policy of POLICIES) {
    const name = `${policy}: part of the best`;
    figures.bound(name, `≥ ${LEFT}`, figures.median(name, 'slipway') >= LEFT);
    const more = `${policy}: MiB more after ten times as many`;
    figures.bound(more, `≤ ${GROWTH}`, figures.median(more, 'slipway') <= GROWTH);
  }

  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'an unknown core'}`;
  const load = `load average ${before.toFixed(1)} before, ${loadavg()[0]!.toFixed(1)} after`;
  console.log(`overload: ${machine}; ${ROUNDS} rounds, ${SECONDS} s each; ${load}; medians\n\n${figures.table}\n`);
  expect(figures.missed, 'bounds that were missed').toEqual([]);
});

/** MiB of memory that a process holds. */
function resident(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
  return (pages * 4096) / 2 ** 20;
}
