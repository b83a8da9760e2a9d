import { execFile, spawn } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { until } from '../support/slipway.ts';
import { EXAMPLES, saying, unique, type Truss } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

const run = promisify(execFile);

/** From the push's return to ACTIVE, as a multiple of doing the same by hand. */
const BOUND = 1.5;
const ROUNDS = 3;
const PORT = 8765;

/** A model whose environment is like no other's, so that it has to be made; its packages are in uv's cache. */
async function fresh(round: number): Promise<string> {
  const folder = await saying(`round-${round}`);
  const versions = ['6.0.1', '6.0.2', '6.0.3'];
  await appendFile(path.join(folder, 'config.yaml'), `requirements:\n  - PyYAML==${versions[round % versions.length]}\n`);
  return folder;
}

/** The same model by hand: `uv venv`, `uv pip install`, `python main.py`, until it is ready; in seconds. */
async function byHand(truss: Truss, folder: string): Promise<number> {
  const home = await mkdtemp(path.join(tmpdir(), 'by-hand-'));
  const context = path.join(home, 'context');
  // Laying out the server's code is not part of what is measured.
  const laid = await truss.run('image', 'build-context', context, folder);
  if (laid.code !== 0) throw new Error(laid.text);
  const app = path.join(home, 'app');
  await cp(path.join(context, 'server'), app, { recursive: true });
  await cp(path.join(context, 'model'), path.join(app, 'model'), { recursive: true });
  await cp(path.join(context, 'config.yaml'), path.join(app, 'config.yaml'));
  await mkdir(path.join(app, 'data'), { recursive: true });
  const requirements = await readFile(path.join(context, 'requirements.txt'), 'utf8');
  const lines = requirements.split('\n').filter((line) => !line.startsWith('-i '));
  await writeFile(path.join(home, 'requirements.txt'), lines.join('\n'));

  const start = performance.now();
  const venv = path.join(home, 'venv');
  const python = path.join(venv, 'bin/python');
  await run('uv', ['venv', '--quiet', '--python', '3.11', venv]);
  const constraints = path.join(context, 'constraints.txt');
  await run('uv', ['pip', 'install', '--quiet', '--python', python, '-r', path.join(home, 'requirements.txt'), '-c', constraints]);
  const env = { ...process.env, HOME: home, INFERENCE_SERVER_PORT: String(PORT) };
  const model = spawn(python, ['main.py'], { cwd: app, env, stdio: 'ignore' });
  try {
    await until('the model is ready', async () => {
      const answer = await fetch(`http://127.0.0.1:${PORT}/v1/models/model`).catch(() => undefined);
      return answer?.status === 200;
    });
    return (performance.now() - start) / 1000;
  } finally {
    model.kill('SIGKILL');
    await rm(home, { recursive: true, force: true });
  }
}

test('push: from the return of the push to ACTIVE', async ({ slipway, truss }) => {
  test.setTimeout(300_000);
  const name = unique('bench-push');
  // Once before, so that both sides find the packages in a cache.
  const warm = await truss.push(`${EXAMPLES}/echo`, '--model-name', name);
  await slipway.reaches(warm.model, warm.deployment, 'ACTIVE');

  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const folder = await fresh(round);
    theirs.push(await byHand(truss, folder));
    const pushed = await truss.push(folder, '--model-name', name);
    const returned = performance.now();
    await slipway.reaches(pushed.model, pushed.deployment, 'ACTIVE');
    ours.push((performance.now() - returned) / 1000);
  }
  const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
  const ratio = median(ours) / median(theirs);
  const list = (values: number[]) => values.map((value) => value.toFixed(2)).join(', ');
  console.log(`push: ${list(ours)} s; by hand: ${list(theirs)} s; ratio of medians ${ratio.toFixed(2)} (bound ${BOUND})`);
  expect(ratio).toBeLessThanOrEqual(BOUND);
});
