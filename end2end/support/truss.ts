import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { until, type Slipway } from './slipway.ts';

const TRUSS = process.env.TRUSS ?? fileURLToPath(new URL('../../target/tools/truss/bin/truss', import.meta.url));

/** The examples that come with Slipway. */
export const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));

/** Models that go wrong in a particular way. */
export const TRUSSES = fileURLToPath(new URL('../trusses', import.meta.url));

export interface Ran {
  code: number;
  /** Both streams together, as a person would see them. */
  text: string;
  stdout: string;
}

export interface Pushed {
  model: string;
  deployment: string;
}

/** The unmodified truss client with a home of its own, signed in to one server. */
export class Truss {
  private constructor(private readonly home: string) {}

  static async signedIn(slipway: Slipway, key = slipway.key): Promise<Truss> {
    const home = await mkdtemp(path.join(tmpdir(), 'truss-home-'));
    const section = ['[local]', 'remote_provider = baseten', `remote_url = ${slipway.url}`, `api_key = ${key}`, ''];
    await writeFile(path.join(home, '.trussrc'), section.join('\n'));
    return new Truss(home);
  }

  /** A home, and nothing that asks or looks elsewhere. */
  private get environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      HOME: this.home,
      USER_TRUSSRC_PATH: path.join(this.home, '.trussrc'),
      BASETEN_TRUSS_AUTH_KEYRING_DISABLED: '1',
      TRUSS_NO_UPDATE_CHECK: '1',
      COLUMNS: '200',
    };
  }

  /** Starts `truss …`, which goes on until it is ended. */
  spawn(...args: string[]): ChildProcess {
    return spawn(TRUSS, args, { env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Runs `truss …` to its end; what it prints comes without colours and weights. */
  async run(...args: string[]): Promise<Ran> {
    // A test runner asks for colours, whatever the output is; the client prints them then.
    const { FORCE_COLOR: _, ...rest } = this.environment;
    const env = { ...rest, NO_COLOR: '1', TERM: 'dumb' };
    return new Promise((resolve) => {
      execFile(TRUSS, args, { env, timeout: 110_000 }, (error, stdout, stderr) => {
        const code = error ? (typeof error.code === 'number' ? error.code : 1) : 0;
        resolve({ code, stdout, text: stdout + stderr });
      });
    });
  }

  /** Pushes a folder; fails with what the client printed. */
  async push(folder: string, ...args: string[]): Promise<Pushed> {
    const ran = await this.run('push', folder, '--remote', 'local', '--non-interactive', '--output', 'json', ...args);
    if (ran.code !== 0) throw new Error(`truss push ended with ${ran.code}:\n${ran.text}`);
    const answer = JSON.parse(ran.stdout.slice(ran.stdout.indexOf('{')));
    return { model: answer.model_id, deployment: answer.model_version_id };
  }
}

/** The unmodified client while it watches a folder. */
export class Watch {
  private constructor(private readonly child: ChildProcess, private output = '') {
    const hear = (chunk: Buffer) => (this.output += chunk.toString());
    child.stdout!.on('data', hear);
    child.stderr!.on('data', hear);
  }

  static start(truss: Truss, ...args: string[]): Watch {
    return new Watch(truss.spawn(...args));
  }

  /** Waits until the client has said this since `since`. */
  async says(text: string, since = 0): Promise<void> {
    await until(`the client says "${text}"`, async () => this.plain.slice(since).includes(text), 90_000, () => this.plain);
  }

  get plain(): string {
    // eslint-disable-next-line no-control-regex
    return this.output.replace(/\x1b\[[0-9;]*m/g, '').replace(/\s+/g, ' ');
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }
}

/** A model that answers with a word of its own, so that callers see who answered. */
export async function saying(word: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), `truss-${word}-`));
  await mkdir(path.join(folder, 'model'));
  await writeFile(
    path.join(folder, 'config.yaml'),
    ['model_name: Sides', 'python_version: py311', 'runtime:', '  predict_concurrency: 64', ''].join('\n'),
  );
  await writeFile(path.join(folder, 'model', '__init__.py'), '');
  await writeFile(
    path.join(folder, 'model', 'model.py'),
    ['class Model:', '    def predict(self, request):', `        return {"side": "${word}"}`, ''].join('\n'),
  );
  return folder;
}

/** A model that prints what it is asked to. */
export async function printing(): Promise<string> {
  const folder = await saying('printed');
  await writeFile(
    path.join(folder, 'model', 'model.py'),
    [
      'import json, sys, time, traceback',
      '',
      '',
      'class Model:',
      '    def predict(self, request):',
      '        lines = [f"{request[\'word\']} {number}\\n" for number in range(request["lines"])]',
      '        sys.stdout.write("".join(lines))',
      '        if request.get("clock"):',
      '            print(f"clock {time.time() * 1000:.1f}")',
      '        if request.get("json"):',
      '            print(json.dumps({"level": "info", "event": "request done", "took_ms": 12}))',
      '        sys.stdout.flush()',
      '        if request.get("traceback"):',
      '            try:',
      '                raise ValueError("no such weights")',
      '            except ValueError:',
      '                traceback.print_exc()',
      '        return {"written": len(lines)}',
      '',
    ].join('\n'),
  );
  return folder;
}

let count = 0;

/** A model's name that no other test uses. */
export function unique(stem: string): string {
  return `${stem}-${process.pid}-${++count}`;
}
