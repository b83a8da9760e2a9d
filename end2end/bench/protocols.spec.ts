import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { Callers, permitted, type Protocol } from '../support/callers.ts';
import { Canary } from '../support/canary.ts';
import { Figures, WHO, type Who } from '../support/figures.ts';
import { LAST_CORE, Peers, versions, type Proxy } from '../support/peers.ts';
import { PORT } from '../support/slipway.ts';
import { expect, test as base } from '../support/test.ts';

const ROUNDS = Number(process.env.SLIPWAY_BENCH_ROUNDS ?? 5);
/** Seconds of one turn. */
const SECONDS = 3;
const SECURE = 8443;
const SMALL = 256;
/** As much comes back. */
const LARGE = 100_000;
/** How requests are sent. */
const TURNS: [protocol: Protocol, body: number][] = [
  ['plain', LARGE],
  ['tls', SMALL],
  ['tls', LARGE],
  ['http2', SMALL],
  ['http2', LARGE],
];

const test = base.extend<{ peers: Peers }, { settings: Record<string, string> }>({
  peers: async ({}, use) => {
    const peers = await Peers.prepare();
    await use(peers);
    await peers.stop();
  },
  settings: [
    async ({}, use) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'slipway-certificates-'));
      Callers.certify(folder);
      await use({
        ...permitted(),
        // The gateway has one thread, as its peers have.
        SLIPWAY_GATEWAY_THREADS: '1',
        SLIPWAY_TLS_CERTIFICATE: path.join(folder, 'certificate.pem'),
        SLIPWAY_TLS_KEY: path.join(folder, 'key.pem'),
        SLIPWAY_TLS_LISTEN: `127.0.0.1:${SECURE}`,
      });
      await rm(folder, { recursive: true });
    },
    { scope: 'worker' },
  ],
});

test('protocols: encrypted, HTTP/2, and large bodies, beside nginx and HAProxy', async ({ slipway, truss, peers, settings }) => {
  test.setTimeout(300_000 + ROUNDS * 120_000);
  const canary = await Canary.begin(slipway, truss);
  const sides = canary.sides();
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(LAST_CORE), String(slipway.pid)]);
  const certificate = settings.SLIPWAY_TLS_CERTIFICATE!;
  const certificates = path.dirname(certificate);
  const proxies: Record<Who, Proxy> = {
    direct: { name: 'direct', port: sides.a[0]!, pids: [] },
    slipway: { name: 'slipway', port: PORT, pids: [slipway.pid], secure: SECURE },
    nginx: await peers.nginx(sides, certificates),
    haproxy: await peers.haproxy(sides, certificates),
  };
  const callers = new Callers(canary.route, slipway.key, certificate);
  const figures = new Figures();
  const before = loadavg()[0]!;

  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [protocol, body] of TURNS) {
      const name = named(protocol, body);
      // Whoever came first goes last in the next round.
      for (const who of WHO.map((_, place) => WHO[(place + round) % WHO.length]!)) {
        const { secure, ...proxy } = proxies[who];
        const port = protocol === 'plain' ? proxy.port : secure;
        if (port === undefined) continue;
        const { per_second, processor_us, load, lost, took_us } = await callers.over(protocol, { ...proxy, port }, SECONDS, body);
        figures.note(`${name}: requests/s`, who, per_second, 0);
        figures.note(`${name}: p50, µs`, who, took_us.p50, 0);
        figures.note(`${name}: p99, µs`, who, took_us.p99, 0);
        figures.count(`${name}: lost`, who, lost);
        if (who === 'direct') continue;
        figures.note(`${name}: processor, µs/request`, who, processor_us, 1);
        figures.note(`${name}: busy part of the core`, who, load, 2);
      }
    }
  }
  for (const [protocol, body] of TURNS) {
    const name = `${named(protocol, body)}: lost`;
    figures.bound(name, '0', figures.median(name, 'slipway') === 0);
  }

  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'an unknown core'}`;
  const load = `load average ${before.toFixed(1)} before, ${loadavg()[0]!.toFixed(1)} after`;
  console.log(`protocols: ${machine}; ${versions()}; ${ROUNDS} rounds, ${SECONDS} s each; ${load}; medians\n\n${figures.table}\n`);
  expect(figures.missed, 'bounds that were missed').toEqual([]);
});

function named(protocol: Protocol, body: number): string {
  return `${protocol}, ${body < 1000 ? `${body} B` : `${body / 1000} kB`}`;
}
