import { readFileSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { until, type Slipway } from '../support/slipway.ts';
import { Watch, saying, unique, type Truss } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

const ROUNDS = 7;
/** What a change by a new start may take beyond the process's own start, in milliseconds. */
const ABOVE_START = 500;
/** What a swapped class may take. */
const HOT = 300;

const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
const shown = (list: number[]) => list.map((value) => value.toFixed(0)).join(', ');

/** From start to ready of the replica that started last, in milliseconds, as the server wrote it down. */
function ownStart(slipway: Slipway): number {
  const folder = path.join(slipway.data, 'replicas');
  const told = readdirSync(folder).map((name) => JSON.parse(readFileSync(path.join(folder, name, 'replica.json'), 'utf8')));
  const last = told.sort((a, b) => a.started_at - b.started_at).at(-1);
  return last.ready_at - last.started_at;
}

/** Saves a file again and again; answers, in milliseconds, what each took until the answer was new. */
async function rounds(slipway: Slipway, truss: Truss, hot: boolean, each: (took: number) => void): Promise<void> {
  const folder = await saying('start');
  const name = unique('bench-watch');
  const config = path.join(folder, 'config.yaml');
  await writeFile(config, (await readFile(config, 'utf8')).replace('Sides', name));
  const file = path.join(folder, 'model', 'model.py');
  const code = await readFile(file, 'utf8');
  const flags = hot ? ['--watch-hot-reload'] : [];
  const watch = Watch.start(truss, 'push', folder, '--watch', ...flags, '--remote', 'local', '--non-interactive');
  await watch.says('Watching for changes');
  const { body } = await slipway.rest('GET', `/v1/models?name=${name}`);
  const address = `/model/${body.models[0].id}/development/predict`;
  for (let round = 0; round < ROUNDS; round += 1) {
    const word = `word-${round}`;
    const saved = performance.now();
    await writeFile(file, code.replace('"start"', `"${word}"`));
    await until('the answer is new', async () => (await slipway.predict(address)).body?.side === word, 60_000, () => watch.plain, 5);
    each(performance.now() - saved);
    // The client is done with this change before the next one is saved.
    await until('the client is done', async () => watch.plain.split('patched successfully').length === round + 2);
  }
  await watch.stop();
}

test('watch: from a saved file to the new answer, through the client', async ({ slipway, truss }) => {
  test.setTimeout(400_000);
  const above: number[] = [];
  const started: number[] = [];
  await rounds(slipway, truss, false, (took) => {
    const own = ownStart(slipway);
    started.push(own);
    above.push(took - own);
  });
  const hot: number[] = [];
  await rounds(slipway, truss, true, (took) => hot.push(took));
  console.log(`watch, new start: ${shown(above)} ms above the process's own start (${shown(started)} ms); median ${median(above).toFixed(0)} (bound ${ABOVE_START})`);
  console.log(`watch, swapped class: ${shown(hot)} ms; median ${median(hot).toFixed(0)} (bound ${HOT})`);
  expect(median(above)).toBeLessThanOrEqual(ABOVE_START);
  expect(median(hot)).toBeLessThanOrEqual(HOT);
});
