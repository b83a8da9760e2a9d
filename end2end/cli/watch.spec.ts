import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { until, type Slipway } from '../support/slipway.ts';
import { EXAMPLES, Watch, saying, unique, type Truss } from '../support/truss.ts';
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

const FLAGS = ['--remote', 'local', '--non-interactive'];

/** A folder whose model has a name of its own, and is small. */
async function named(stem: string): Promise<{ folder: string; file: string; config: string; name: string }> {
  const folder = await saying('one');
  const name = unique(stem);
  const [file, config] = [path.join(folder, 'model', 'model.py'), path.join(folder, 'config.yaml')];
  const small = ['resources:', '  cpu: 500m', '  memory: 256Mi', ''].join('\n');
  await writeFile(config, (await readFile(config, 'utf8')).replace('Sides', name) + small);
  return { folder, file, config, name };
}

/** Pushes a folder as a development deployment that nobody watches afterwards; answers the model. */
async function pushed(slipway: Slipway, truss: Truss, folder: string, name: string): Promise<string> {
  const push = Watch.start(truss, 'push', folder, '--watch', ...FLAGS);
  await push.says('Watching for changes');
  await push.stop();
  return (await slipway.rest('GET', `/v1/models?name=${name}`)).body.models[0].id;
}

test('truss watch goes on with a development deployment that is there, and wakes one that sleeps', async ({ slipway, truss }) => {
  test.setTimeout(400_000);
  const { folder, file, name } = await named('attached');
  const code = await readFile(file, 'utf8');
  const model = await pushed(slipway, truss, folder, name);
  const answers = async () => (await slipway.predict(`/model/${model}/development/predict`)).body?.side;
  expect(await answers()).toBe('one');

  // What was saved while nobody watched comes first.
  await writeFile(file, code.replace('"one"', '"two"'));
  let watch = Watch.start(truss, 'watch', folder, ...FLAGS);
  await watch.says('Watching for changes');
  expect(watch.plain).toContain('patched successfully');
  expect(await answers()).toBe('two');
  let heard = watch.plain.length;
  await writeFile(file, code.replace('"one"', '"three"'));
  await watch.says('patched successfully', heard);
  expect(await answers()).toBe('three');
  await watch.stop();

  const scaling = `/v1/models/${model}/deployments/development/autoscaling_settings`;
  const scale = async (settings: object) => {
    const changed = await slipway.rest('PATCH', scaling, settings);
    expect(changed.status, JSON.stringify(changed.body)).toBe(200);
  };
  await scale({ scale_down_delay: 0, autoscaling_window: 10 });
  await slipway.reaches(model, 'development', 'SCALED_TO_ZERO');
  await scale({ scale_down_delay: 3600 });

  watch = Watch.start(truss, 'watch', folder, ...FLAGS);
  await watch.says('Watching for changes');
  await slipway.reaches(model, 'development', 'ACTIVE');
  expect(await answers(), 'it wakes with the last change').toBe('three');
  heard = watch.plain.length;
  await writeFile(file, code.replace('"one"', '"four"'));
  await watch.says('patched successfully', heard);
  expect(await answers()).toBe('four');
  await watch.stop();
  await slipway.rest('DELETE', `/v1/models/${model}`);
});

test('truss watch says so where there is no development deployment', async ({ slipway, truss }) => {
  const name = unique('unwatched');
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', name);
  const ran = await truss.run('watch', `${EXAMPLES}/echo`, '--model-name', name, ...FLAGS);
  expect(ran.code, ran.text).toBe(1);
  expect(ran.text).toContain('No development model found');
  await slipway.reaches(model, deployment, 'ACTIVE', 'SCALED_TO_ZERO');
});

test('a file that a saved configuration names by its address is fetched for the model', async ({ slipway, truss }) => {
  test.setTimeout(180_000);
  const { folder, file, config, name } = await named('fetching');
  const code = [
    'class Model:',
    '    def __init__(self, **kwargs):',
    '        self.data = kwargs["data_dir"]',
    '',
    '    def predict(self, request):',
    '        word = self.data / "deep" / "word.txt"',
    '        return {"side": word.read_text() if word.exists() else "nothing"}',
    '',
  ];
  await writeFile(file, code.join('\n'));
  const asked: string[] = [];
  const files = createServer((request, response) => {
    asked.push(request.url!);
    response.end('fetched');
  });
  await new Promise<void>((resolve) => files.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(files.address() as AddressInfo).port}/word.txt`;

  const watch = Watch.start(truss, 'push', folder, '--watch', ...FLAGS);
  await watch.says('Watching for changes');
  const model = (await slipway.rest('GET', `/v1/models?name=${name}`)).body.models[0].id;
  const answers = async () => (await slipway.predict(`/model/${model}/development/predict`)).body?.side;
  expect(await answers()).toBe('nothing');

  const heard = watch.plain.length;
  const item = ['external_data:', `  - url: ${url}`, '    local_data_path: deep/word.txt', ''];
  await writeFile(config, (await readFile(config, 'utf8')) + item.join('\n'));
  await watch.says('patched successfully', heard);
  expect(await answers()).toBe('fetched');
  expect(asked).toEqual(['/word.txt']);
  await watch.stop();
  files.close();
  await slipway.rest('DELETE', `/v1/models/${model}`);
});
