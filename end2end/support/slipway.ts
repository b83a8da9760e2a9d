import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The one address that the truss client knows. */
export const PORT = 8000;

/** The program under test. */
export const BINARY = process.env.SLIPWAY ?? fileURLToPath(new URL('../../target/serve/slipway', import.meta.url));

/** A deployment as the REST API tells it; only what tests read. */
export interface Deployment {
  id: string;
  name: string;
  status: string;
  is_production: boolean;
  is_development: boolean;
  active_replica_count: number;
  environment: string | null;
}

/** An answer with its JSON, or its text where it is none. */
export interface Answer {
  status: number;
  body: any;
}

/** A real server in a data folder of its own. */
export class Slipway {
  readonly url = `http://localhost:${PORT}`;
  readonly key = `e2e-${randomBytes(24).toString('hex')}`;
  private process?: ChildProcess;
  private output = '';

  private constructor(
    readonly data: string,
    private readonly settings: Record<string, string>,
  ) {}

  /** Starts a server that knows nothing yet; settings are variables of its environment. */
  static async start(settings: Record<string, string> = {}): Promise<Slipway> {
    const slipway = new Slipway(await mkdtemp(path.join(tmpdir(), 'slipway-')), settings);
    await slipway.up();
    return slipway;
  }

  get pid(): number {
    if (!this.process?.pid) throw new Error('the server does not run');
    return this.process.pid;
  }

  /** What the server printed since its last start. */
  get printed(): string {
    return this.output;
  }

  /** Starts the server, again after `kill`, and waits until it answers. */
  async up(): Promise<void> {
    await portIsFree();
    const child = this.spawn();
    await until('the server answers', async () => {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${this.output}`);
      return (await this.rest('GET', '/v1/models').catch(() => undefined))?.status === 200;
    });
  }

  /** Starts a second server that takes over from the one that runs, and waits for the first one's end. */
  async replace(): Promise<void> {
    const former = this.process!;
    const ended = new Promise<number | null>((resolve) => former.once('exit', resolve));
    const child = this.spawn('--take-over');
    await until('the new server has taken over', async () => {
      if (child.exitCode !== null) throw new Error(`the new server ended with ${child.exitCode}:\n${this.output}`);
      return this.output.includes('took over from the server that ran');
    });
    const code = await ended;
    if (code !== 0) throw new Error(`the former server ended with ${code}`);
  }

  private spawn(...flags: string[]): ChildProcess {
    this.output = '';
    const child = spawn(BINARY, ['serve', '--data-dir', this.data, ...flags], {
      env: { ...process.env, SLIPWAY_LOG: process.env.SLIPWAY_LOG ?? 'info', ...this.settings, SLIPWAY_ADMIN_KEY: this.key },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process = child;
    const hear = (chunk: Buffer) => (this.output += chunk.toString());
    child.stdout!.on('data', hear);
    child.stderr!.on('data', hear);
    return child;
  }

  /** Sends the server a signal and waits for its end; its models are its own affair. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** Stops the server with its models, and removes the data folder. */
  async down(): Promise<void> {
    await this.kill('SIGTERM');
    await rm(this.data, { recursive: true, force: true });
  }

  /** One call of the REST API. */
  async rest(method: string, route: string, body?: unknown): Promise<Answer> {
    return this.call(method, route, body, { authorization: `Api-Key ${this.key}` });
  }

  /** One inference request. */
  async predict(route: string, input: unknown = {}): Promise<Answer> {
    return this.call('POST', route, input, { authorization: `Bearer ${this.key}` });
  }

  /** A model's deployments, deleted ones left out. */
  async deployments(model: string): Promise<Deployment[]> {
    const answer = await this.rest('GET', `/v1/models/${model}/deployments`);
    if (answer.status !== 200) throw new Error(`listing deployments: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body.deployments;
  }

  /** Waits until a deployment has one of these statuses. */
  async reaches(model: string, deployment: string, ...statuses: string[]): Promise<Deployment> {
    let last: Deployment | undefined;
    await until(
      `deployment ${deployment} is ${statuses.join(' or ')}`,
      async () => {
        last = (await this.rest('GET', `/v1/models/${model}/deployments/${deployment}`)).body as Deployment;
        return statuses.includes(last.status);
      },
      90_000,
      () => `it is ${last?.status}`,
    );
    return last!;
  }

  private async call(method: string, route: string, body: unknown, headers: Record<string, string>): Promise<Answer> {
    const response = await fetch(this.url + route, {
      method,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    try {
      return { status: response.status, body: JSON.parse(text) };
    } catch {
      return { status: response.status, body: text };
    }
  }
}

/** Asks again and again until the answer is yes; fails with what was awaited. */
export async function until(
  what: string,
  ask: () => Promise<boolean>,
  limit = 30_000,
  else_ = () => '',
  every = 100,
): Promise<void> {
  const end = Date.now() + limit;
  while (!(await ask())) {
    if (Date.now() > end) throw new Error(`waited ${limit / 1000} s in vain until ${what}; ${else_()}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** Fails clearly where something else already listens on the port. */
async function portIsFree(): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const probe = createServer();
    probe.once('error', () => reject(new Error(`port ${PORT} is in use; these tests need it: stop what listens there`)));
    probe.listen(PORT, '127.0.0.1', () => probe.close(() => resolve()));
  });
}
