import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { Callers, permitted } from '../support/callers.ts';
import { Canary } from '../support/canary.ts';
import { Figures, WHO, median, type Who } from '../support/figures.ts';
import { SHARE, openFiles, type Sides } from '../support/peer-settings.ts';
import { LAST_CORE, Peers, versions, type Proxy } from '../support/peers.ts';
import { PORT } from '../support/slipway.ts';
import { expect, test as base } from '../support/test.ts';

const ROUNDS = Number(process.env.SLIPWAY_BENCH_ROUNDS ?? 5);
/** Seconds of one turn. */
const SECONDS = 3;
/** Requests a second that arrive whether or not earlier ones are answered. */
const RATES = [2000, 5000];
const STREAMS = 250;
/** Connections that say nothing, and for how many seconds before memory is looked at. */
const IDLE = [1000, 5000].map((count) => Math.min(count, Math.floor(openFiles() / 3)));
const SILENCE = 12;
const SPLIT = 100_000;
/** Times that the canary is withdrawn under load, and milliseconds between one change and the next. */
const WITHDRAWALS = 10;
const PAUSE = 300;

const PROXIES = WHO.filter((who) => who !== 'direct');

/** Who is measured, by whom, and what was found. */
interface Field {
  proxies: Record<Who, Proxy>;
  callers: Callers;
  figures: Figures;
}

const test = base.extend<{ peers: Peers }>({
  peers: async ({}, use) => {
    const peers = await Peers.prepare();
    await use(peers);
    await peers.stop();
  },
});
// The gateway has one thread, as its peers have.
test.use({ settings: { ...permitted(), SLIPWAY_GATEWAY_THREADS: '1' } });

test('gateway: beside nginx and HAProxy, before the same replicas', async ({ slipway, truss, peers }) => {
  test.setTimeout(300_000 + ROUNDS * 120_000);
  const canary = await Canary.begin(slipway, truss);
  const sides = canary.sides();
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(LAST_CORE), String(slipway.pid)]);
  const proxies = {
    direct: { name: 'direct', port: sides.a[0]!, pids: [] },
    slipway: { name: 'slipway', port: PORT, pids: [slipway.pid] },
    nginx: await peers.nginx(sides),
    haproxy: await peers.haproxy(sides),
  };
  const field = { proxies, callers: new Callers(canary.route, slipway.key), figures: new Figures() };
  const before = loadavg()[0]!;
  for (const who of WHO) {
    const { tally } = await field.callers.closed(proxies[who], '20000');
    expect(tally.lost, `${who} answers`).toBe(0);
  }

  await idle(field);
  for (let round = 0; round < ROUNDS; round += 1) {
    // Whoever came first goes last in the next round.
    const order = WHO.map((_, place) => WHO[(place + round) % WHO.length]!);
    await most(field, order);
    for (const rate of RATES) await arrivals(field, order, rate);
    await tokens(field, order);
  }
  boundRounds(field.figures);
  await split(field, sides);
  await flips(field, canary, sides);

  const { figures } = field;
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'an unknown core'}`;
  const load = `load average ${before.toFixed(1)} before, ${loadavg()[0]!.toFixed(1)} after`;
  console.log(`gateway: ${machine}; ${versions()}; ${ROUNDS} rounds, ${SECONDS} s each; ${load}; medians\n\n${figures.table}\n`);
  expect(figures.missed, 'bounds that were missed').toEqual([]);
});

/** What a connection that says nothing costs; first of all, because memory that was used once may stay. */
async function idle({ proxies, callers, figures }: Field): Promise<void> {
  for (const who of PROXIES) {
    let empty: number | undefined;
    for (const count of IDLE) {
      const { before_kib, after_kib, open } = await callers.idle(proxies[who], count, SILENCE);
      empty ??= before_kib;
      figures.note(`idle: KiB for each of ${count}`, who, (after_kib - empty) / count);
      figures.count(`idle: open of ${count}`, who, open);
    }
  }
  for (const count of IDLE) {
    const name = `idle: KiB for each of ${count}`;
    figures.bound(name, '≤ 2', figures.median(name, 'slipway') <= 2);
  }
}

/** As much as goes through. */
async function most({ proxies, callers, figures }: Field, order: Who[]): Promise<void> {
  for (const who of order) {
    const { per_second, processor_us, load, tally } = await callers.closed(proxies[who], `${SECONDS}s`);
    figures.note('max: requests/s', who, per_second, 0);
    figures.count('max: lost', who, tally.lost);
    if (who === 'direct') continue;
    figures.note('max: processor, µs/request', who, processor_us, 2);
    figures.note('max: busy part of the core', who, load, 2);
  }
}

/** What a request takes when they arrive by chance. */
async function arrivals({ proxies, callers, figures }: Field, order: Who[], rate: number): Promise<void> {
  const took = new Map<Who, { p50: number; p99: number }>();
  for (const who of order) {
    const { took_us, tally } = await callers.open(proxies[who], rate, SECONDS);
    took.set(who, took_us);
    figures.count(`${rate}/s: lost`, who, tally.lost);
  }
  const direct = took.get('direct')!;
  for (const [who, { p50, p99 }] of took) {
    figures.note(`${rate}/s: p50, µs`, who, p50, 0);
    figures.note(`${rate}/s: p99, µs`, who, p99, 0);
    if (who === 'direct') continue;
    figures.note(`${rate}/s: p50 added, µs`, who, p50 - direct.p50, 0);
    figures.note(`${rate}/s: p99 added, µs`, who, p99 - direct.p99, 0);
  }
}

/** How far behind the replica's own writing tokens are. */
async function tokens({ proxies, callers, figures }: Field, order: Who[]): Promise<void> {
  for (const who of order) {
    const { broken, processor_us, lag_us } = await callers.tokens(proxies[who], STREAMS);
    figures.note('sse: p50 of the lag, µs', who, lag_us.p50, 0);
    figures.note('sse: p99 of the lag, µs', who, lag_us.p99, 0);
    figures.count('sse: broken streams', who, broken);
    if (who !== 'direct') figures.note('sse: processor, µs/token', who, processor_us, 2);
  }
}

function boundRounds(figures: Figures): void {
  const cost = 'max: processor, µs/request';
  figures.bound(cost, '≤ 0.85 × nginx', figures.ratio(cost, 'nginx') <= 0.85);
  figures.bound(cost, '≤ 0.95 × HAProxy', figures.ratio(cost, 'haproxy') <= 0.95);
  const through = 'max: requests/s';
  figures.bound(through, '≥ 1.2 × nginx', figures.ratio(through, 'nginx') >= 1.2);
  for (const rate of RATES) {
    const added = `${rate}/s: p50 added, µs`;
    figures.bound(added, '≤ nginx', figures.difference(added, 'nginx') <= 0);
  }
  const late = `${RATES[0]}/s: p99, µs`;
  figures.bound(late, '≤ 1.1 × nginx', figures.ratio(late, 'nginx') <= 1.1);
  const lag = 'sse: p50 of the lag, µs';
  figures.bound(lag, '≤ direct + 150', figures.difference(lag, 'direct') <= 150);
  const token = 'sse: processor, µs/token';
  figures.bound(token, '≤ nginx', figures.ratio(token, 'nginx') <= 1);
}

/** How many of many requests the canary gets. */
async function split({ proxies, callers, figures }: Field, { b }: Sides): Promise<void> {
  const [name, meant] = [`split: ${SHARE} % of ${SPLIT}`, (SPLIT * SHARE) / 100];
  for (const who of PROXIES) {
    const { tally } = await callers.closed(proxies[who], String(SPLIT));
    figures.count(name, who, b.reduce((sum, port) => sum + (tally.by[port] ?? 0), 0));
  }
  figures.bound(name, `${meant} ± 1`, Math.abs(figures.median(name, 'slipway') - meant) <= 1);
}

/** A canary that is withdrawn and promoted again while requests arrive. */
async function flips({ proxies, callers, figures }: Field, canary: Canary, { a }: Sides): Promise<void> {
  const withdrawals: { asked: number; answered: number; over: number }[] = [];
  const { tally, samples } = await callers.while(proxies.slipway, RATES[0]!, async () => {
    for (let change = 0; change < WITHDRAWALS; change += 1) {
      await pause();
      const asked = now();
      await canary.cancel();
      const answered = now();
      await pause();
      withdrawals.push({ asked, answered, over: now() });
      await canary.promote();
    }
    await pause();
  });
  const candidates = samples.filter(([, by]) => by !== null && !a.includes(by)).map(([sent]) => sent);
  const within = (from: number, to: number) => candidates.filter((sent) => sent > from && sent < to);
  const last = withdrawals.map(({ asked, over }) => Math.max(0, ...within(asked, over).map((sent) => (sent - asked) / 1e6)));
  const after = withdrawals.reduce((sum, { answered, over }) => sum + within(answered, over).length, 0);
  const answered = withdrawals.map(({ asked, answered }) => (answered - asked) / 1e6);
  figures.count(`flip: requests, ${WITHDRAWALS} withdrawals`, 'slipway', tally.sent);
  figures.count('flip: of them to the canary', 'slipway', candidates.length);
  figures.note('flip: call to answer, ms, median', 'slipway', median(answered));
  figures.note('flip: call to answer, ms, slowest', 'slipway', Math.max(...answered));
  figures.note('flip: call to the last one, ms, median', 'slipway', median(last));
  const slowest = 'flip: call to the last one, ms, slowest';
  figures.note(slowest, 'slipway', Math.max(...last));
  figures.bound(slowest, '≤ 50', Math.max(...last) <= 50);
  const none = { lost: tally.lost, 'connections closed': tally.closed, 'to the canary after the answer': after };
  for (const [name, count] of Object.entries(none)) {
    figures.count(`flip: ${name}`, 'slipway', count);
    figures.bound(`flip: ${name}`, '0', count === 0);
  }
}

/** Nanoseconds of the monotonic clock, which the callers read as well. */
function now(): number {
  return Number(process.hrtime.bigint());
}

/** Lets requests arrive for a while: this is what is measured, not waited for. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE));
}
