import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { haproxy, nginx, type Secure, type Sides } from './peer-settings.ts';
import { until } from './slipway.ts';

/** The core that what is measured has for itself; callers and replicas are on the first one. */
export const LAST_CORE = availableParallelism() - 1;

/** Something in front of the replicas. */
export interface Proxy {
  name: string;
  port: number;
  /** The processes whose use of the machine is its cost. */
  pids: number[];
  /** Where it takes encrypted connections, if it does. */
  secure?: number;
}

/** Other people's proxies: in the foreground, on loopback, in a temporary folder, with one thread each. */
export class Peers {
  private readonly children: ChildProcess[] = [];

  private constructor(private readonly folder: string) {}

  static async prepare(): Promise<Peers> {
    return new Peers(await mkdtemp(path.join(tmpdir(), 'slipway-peers-')));
  }

  /** With a folder of certificates they take encrypted connections, too. */
  async nginx(sides: Sides, certificates?: string): Promise<Proxy> {
    const port = await freePort();
    const secure = await secured(certificates);
    const folder = path.join(this.folder, 'nginx');
    await mkdir(folder);
    const file = path.join(folder, 'nginx.conf');
    await writeFile(file, nginx(folder, port, sides, secure));
    const master = await this.start('nginx', ['-p', folder, '-e', 'stderr', '-c', file], port);
    // It listens before it has its worker.
    let workers: number[] = [];
    await until('nginx has a worker', async () => {
      const told = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8');
      workers = told.split(' ').filter(Boolean).map(Number);
      return workers.length > 0;
    });
    return { name: 'nginx', port, pids: [master, ...workers], secure: secure?.port };
  }

  async haproxy(sides: Sides, certificates?: string): Promise<Proxy> {
    const port = await freePort();
    const secure = await secured(certificates);
    const file = path.join(this.folder, 'haproxy.cfg');
    await writeFile(file, haproxy(port, sides, secure));
    const pids = [await this.start('haproxy', ['-db', '-f', file], port)];
    return { name: 'haproxy', port, pids, secure: secure?.port };
  }

  /** Ends what was started, and waits for it. */
  async stop(): Promise<void> {
    for (const child of this.children) {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Starts a program on its core and waits until it listens; answers its process id. */
  private async start(program: string, words: string[], port: number): Promise<number> {
    const child = spawn('taskset', ['--cpu-list', String(LAST_CORE), installed(program), ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.children.push(child);
    let printed = '';
    const hear = (chunk: Buffer) => (printed += chunk.toString());
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', (error) => (printed += String(error)));
    await until(`${program} listens on ${port}`, async () => {
      if (child.pid === undefined || child.exitCode !== null) throw new Error(`${program} did not start:\n${printed}`);
      return listens(port);
    });
    return child.pid!;
  }
}

/** The programs and versions that are measured beside. */
export function versions(): string {
  return ['nginx', 'haproxy'].map((program) => {
    const { stdout, stderr } = spawnSync(installed(program), ['-v'], { encoding: 'utf8' });
    return /version:? (?:nginx\/)?([\d.]+)/i.exec(stdout + stderr)?.[1] ?? 'of an unknown version';
  }).map((version, index) => `${['nginx', 'HAProxy'][index]} ${version}`).join(', ');
}

/** Where a program is; servers are often in a folder that only root has on its PATH. */
function installed(program: string): string {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin'];
  const found = folders.map((folder) => path.join(folder, program)).find((file) => existsSync(file));
  if (!found) throw new Error(`${program} is not installed; \`cargo xtask bench gateway\` says which package has it`);
  return found;
}

async function secured(folder?: string): Promise<Secure | undefined> {
  return folder === undefined ? undefined : { port: await freePort(), folder };
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

async function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
}
