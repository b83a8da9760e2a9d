import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { replicas } from '../support/processes.ts';
import { until } from '../support/slipway.ts';
import { EXAMPLES, Truss, TRUSSES, saying, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

test.describe.configure({ mode: 'serial' });

test('whoami knows a good key from a bad one', async ({ slipway, truss }) => {
  const good = await truss.run('whoami', '--remote', 'local');
  expect(good.code, good.text).toBe(0);
  const stranger = await Truss.signedIn(slipway, 'not-a-key-of-this-server');
  expect((await stranger.run('whoami', '--remote', 'local')).code).toBe(1);
});

test('iris is pushed to production, called, and read', async ({ slipway, truss }) => {
  test.setTimeout(240_000);
  const iris = path.join(EXAMPLES, 'iris');
  const { model, deployment } = await truss.push(iris, '--promote', '--wait');
  const [only] = await slipway.deployments(model);
  expect(only).toMatchObject({ id: deployment, name: 'deployment-1', status: 'ACTIVE', is_production: true });

  const input = JSON.stringify({ features: [5.1, 3.5, 1.4, 0.2] });
  const called = await truss.run('predict', '--target-directory', iris, '--remote', 'local', '--published', '-d', input);
  expect(called.code, called.text).toBe(0);
  expect(called.text).toContain('setosa');

  const second = await truss.push(iris, '--deployment-name', 'better-iris', '--wait');
  const listed = await slipway.deployments(model);
  expect(listed.find(({ id }) => id === second.deployment)).toMatchObject({ name: 'better-iris', is_production: false });
  expect(listed.find(({ id }) => id === deployment)?.is_production).toBe(true);

  const logs = await truss.run('model-logs', '--model-id', model, '--deployment-id', deployment, '--remote', 'local');
  expect(logs.code, logs.text).toBe(0);
  expect(logs.text.trim().split('\n').length).toBeGreaterThan(3);
});

test('a push that can not work says why', async ({ slipway, truss }) => {
  test.setTimeout(180_000);
  const wrong = await mkdtemp(path.join(tmpdir(), 'truss-wrong-'));
  await cp(await saying('x'), wrong, { recursive: true });
  const taken = await truss.push(wrong, '--model-name', unique('wrong'), '--deployment-name', 'mine');
  await slipway.reaches(taken.model, taken.deployment, 'ACTIVE', 'SCALED_TO_ZERO');

  const name = (await slipway.rest('GET', `/v1/models/${taken.model}`)).body.name as string;
  const again = await truss.run('push', wrong, '--remote', 'local', '--non-interactive', '--model-name', name, '--deployment-name', 'mine');
  expect(again.code).toBe(1);
  expect(again.text).toContain('mine');

  const nowhere = await truss.run('push', wrong, '--remote', 'local', '--non-interactive', '--model-name', name, '--environment', 'nowhere');
  expect(nowhere.code).toBe(1);
  expect(nowhere.text).toContain('nowhere');

  const broken = await truss.run('push', path.join(TRUSSES, 'broken-requirement'), '--remote', 'local', '--non-interactive', '--wait');
  expect(broken.code).toBe(1);
});

test('a model outlives a killed server and is taken over as it is', async ({ slipway, truss }) => {
  const { model, deployment } = await truss.push(await saying('steady'), '--model-name', unique('steady'), '--wait');
  const address = `/model/${model}/deployment/${deployment}/predict`;
  expect((await slipway.predict(address)).body.side).toBe('steady');
  const before = replicas(slipway.data);
  expect(before.length).toBeGreaterThan(0);

  await slipway.kill('SIGKILL');
  expect(replicas(slipway.data), 'models run on without the server').toEqual(before);
  await slipway.up();
  expect((await slipway.predict(address)).body.side).toBe('steady');
  expect(replicas(slipway.data), 'the same processes serve on').toEqual(before);

  await slipway.kill('SIGTERM');
  await until('an orderly stop leaves no model behind', async () => replicas(slipway.data).length === 0);
  await slipway.up();
});
