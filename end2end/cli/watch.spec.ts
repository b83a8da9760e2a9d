import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { until } from '../support/slipway.ts';
import { Watch, saying, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

test('truss watch brings saved files into service, and says why where it can not', async ({ slipway, truss }) => {
  test.setTimeout(240_000);
  const folder = await saying('one');
  const name = unique('watched');
  const file = path.join(folder, 'model', 'model.py');
  const config = path.join(folder, 'config.yaml');
  await writeFile(config, (await readFile(config, 'utf8')).replace('Sides', name));
  const code = await readFile(file, 'utf8');

  const watch = Watch.start(truss, 'push', folder, '--watch', '--remote', 'local', '--non-interactive');
  await watch.says('Watching for changes');
  const listed = (await slipway.rest('GET', '/v1/models')).body.models as { id: string; name: string }[];
  const model = listed.find((one) => one.name === name)!.id;
  const answers = async () => (await slipway.predict(`/model/${model}/development/predict`)).body?.side;
  expect(await answers()).toBe('one');

  await writeFile(file, code.replace('"one"', '"two"'));
  await watch.says('patched successfully');
  expect(await answers(), 'the client is told once the new code serves').toBe('two');

  // A change that can't load: the client shows the traceback, and what ran before serves on.
  let heard = watch.plain.length;
  await writeFile(file, `raise RuntimeError("no weights here")\n${code}`);
  await watch.says('no weights here', heard);
  expect(await answers()).toBe('two');

  // A variable of the environment, and the code that reads it, in one go.
  heard = watch.plain.length;
  await writeFile(file, `import os\n${code.replace('"one"', 'os.environ["WORD"]')}`);
  await writeFile(config, `${await readFile(config, 'utf8')}environment_variables:\n  WORD: three\n`);
  await until('the variable has arrived', async () => (await answers()) === 'three', 60_000, () => watch.plain.slice(heard));

  // A requirement.
  heard = watch.plain.length;
  await writeFile(config, `${await readFile(config, 'utf8')}requirements:\n  - six==1.16.0\n`);
  await watch.says('patched successfully', heard);
  heard = watch.plain.length;
  await writeFile(file, code.replace('class Model', 'import six\n\n\nclass Model').replace('"one"', 'six.__version__'));
  await watch.says('patched successfully', heard);
  expect(await answers()).toBe('1.16.0');
  await watch.stop();
});

test('with hot reload the class is swapped in the running process', async ({ slipway, truss }) => {
  test.setTimeout(180_000);
  const folder = await saying('one');
  const name = unique('hot');
  const config = path.join(folder, 'config.yaml');
  await writeFile(config, (await readFile(config, 'utf8')).replace('Sides', name));
  const file = path.join(folder, 'model', 'model.py');
  const code = (word: string) =>
    ['import os', '', '', 'class Model:', '    def predict(self, request):', `        return {"side": "${word}", "pid": os.getpid()}`, ''].join('\n');
  await writeFile(file, code('one'));
  const watch = Watch.start(truss, 'push', folder, '--watch', '--watch-hot-reload', '--remote', 'local', '--non-interactive');
  await watch.says('Watching for changes');
  const listed = (await slipway.rest('GET', '/v1/models')).body.models as { id: string; name: string }[];
  const model = listed.find((one) => one.name === name)!.id;
  const answer = async () => (await slipway.predict(`/model/${model}/development/predict`)).body;
  const before = await answer();
  expect(before.side).toBe('one');
  await writeFile(file, code('two'));
  await watch.says('patched successfully (hot reload)');
  expect(await answer()).toEqual({ side: 'two', pid: before.pid });
  await watch.stop();
});
