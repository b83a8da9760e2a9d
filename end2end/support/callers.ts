import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Proxy } from './peers.ts';

/** The program with the callers and the replica (server/examples/bench). */
export const CALLERS = process.env.CALLERS ?? fileURLToPath(new URL('../../target/serve/examples/bench', import.meta.url));

/** The settings of a server whose models may run that program as their own. */
export function permitted(): Record<string, string> {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'settings-')), 'slipway.toml');
  writeFileSync(file, `[machine]\nreadable = [${JSON.stringify(path.dirname(CALLERS))}]\n`);
  return { SLIPWAY_CONFIG: file };
}

/** What became of all requests of a run. */
export interface Tally {
  sent: number;
  answered: number;
  lost: number;
  /** Connections that the proxy closed. */
  closed: number;
  /** Answers by the port of the replica that gave them. */
  by: Record<string, number>;
}

/** A request: when it was sent, in nanoseconds of the monotonic clock, and the port that answered; `null` if it was lost. */
export type Sample = [sent: number, by: number | null];

interface Costs {
  /** Microseconds of the proxy's processor for each request or token. */
  processor_us: number;
}

interface Memory {
  /** What the proxy held before the connections, and at their end. */
  before_kib: number;
  after_kib: number;
}

interface Percentiles {
  count: number;
  p50: number;
  p99: number;
}

/** How `over` speaks to a proxy; what is not plain is encrypted. */
export type Protocol = 'plain' | 'tls' | 'http2';

/** Sends requests of one kind to whatever is to be measured, from a process of its own. */
export class Callers {
  constructor(
    private readonly route: string,
    private readonly key: string,
    /** The certificate that encrypted proxies are known by. */
    private readonly trust = '',
  ) {}

  /** Writes a certificate for localhost into a folder: `certificate.pem`, `key.pem`, and `both.pem`. */
  static certify(folder: string): void {
    execFileSync(CALLERS, ['certify', folder]);
  }

  /** As many requests as go through 64 connections: `3s`, or a number of requests. */
  closed(proxy: Proxy, length: string): Promise<Costs & { tally: Tally; per_second: number; load: number }> {
    return this.run('closed', proxy, 64, length);
  }

  /** Requests that arrive by chance at a steady rate. */
  open(proxy: Proxy, rate: number, seconds: number): Promise<{ tally: Tally; took_us: Percentiles }> {
    return this.run('open', proxy, 64, rate, seconds);
  }

  /** As `closed`, but each answer takes the replica 5 ms. */
  work(proxy: Proxy, atOnce: number, seconds: number): Promise<Costs & { tally: Tally; per_second: number }> {
    return this.run('work', proxy, atOnce, `${seconds}s`);
  }

  /** As `open`, but each answer takes the replica 5 ms; `per_second` counts what was answered with 200 while requests arrived. */
  flood(proxy: Proxy, rate: number, seconds: number): Promise<Costs & { tally: Tally; per_second: number }> {
    return this.run('flood', proxy, 512, rate, seconds);
  }

  /** 64 requests at once, with bodies of so many bytes, by any protocol. */
  over(
    protocol: Protocol,
    proxy: Proxy,
    seconds: number,
    body: number,
  ): Promise<Costs & { answered: number; lost: number; per_second: number; load: number; took_us: Percentiles }> {
    return this.run(`over ${protocol}`, proxy, 64, seconds, body);
  }

  /** Streams of tokens, 50 at once. */
  tokens(proxy: Proxy, streams: number): Promise<Costs & { whole: number; broken: number; lag_us: Percentiles }> {
    return this.run('tokens', proxy, 50, streams);
  }

  /** Connections that make one request and then say nothing for some seconds. */
  idle(proxy: Proxy, connections: number, seconds: number): Promise<Memory & { tally: Tally; open: number }> {
    return this.run('idle', proxy, connections, seconds);
  }

  /** Requests at a steady rate until `during` is done; each is told of. */
  async while(proxy: Proxy, rate: number, during: () => Promise<void>): Promise<{ tally: Tally; samples: Sample[] }> {
    const child = spawn(CALLERS, this.words('open', proxy, 64, rate), { env: this.env, stdio: ['pipe', 'pipe', 'inherit'] });
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    const ended = new Promise((resolve) => child.once('close', resolve));
    try {
      await during();
    } finally {
      child.stdin.end();
      await ended;
    }
    return JSON.parse(printed);
  }

  private words(kind: string, { port, pids }: Proxy, ...rest: (string | number)[]): string[] {
    return [...kind.split(' '), `127.0.0.1:${port}`, this.route, pids.join(','), ...rest.map(String)];
  }

  private get env(): NodeJS.ProcessEnv {
    return { ...process.env, BENCH_KEY: this.key, BENCH_TRUST: this.trust };
  }

  private run(kind: string, proxy: Proxy, ...rest: (string | number)[]): Promise<any> {
    return new Promise((resolve, reject) => {
      execFile(CALLERS, this.words(kind, proxy, ...rest), { env: this.env, timeout: 120_000 }, (error, stdout, stderr) => {
        if (error) reject(new Error(`calling ${proxy.name} (${kind}): ${error.message}\n${stderr}`));
        else resolve(JSON.parse(stdout));
      });
    });
  }
}
