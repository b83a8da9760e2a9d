import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { until } from '../support/slipway.ts';
import { Watch, printing, saying, unique } from '../support/truss.ts';
import { expect, test } from '../support/test.ts';

const REMOTE = ['--remote', 'local'];

/** A model of this code. */
async function running(...code: string[]): Promise<string> {
  const folder = await saying('running');
  await writeFile(path.join(folder, 'model', 'model.py'), [...code, ''].join('\n'));
  return folder;
}

test.describe('what is pushed is read back', () => {
  let model: string;
  let deployment: string;
  let folder: string;
  const address = () => ['--model-id', model, '--deployment-id', deployment, ...REMOTE];

  test.beforeAll(async ({ slipway, truss }) => {
    folder = await printing();
    ({ model, deployment } = await truss.push(folder, '--model-name', unique('commands')));
    await slipway.reaches(model, deployment, 'ACTIVE');
  });

  test('model-logs takes every filter', async ({ slipway, truss }) => {
    const call = `/model/${model}/deployment/${deployment}/predict`;
    await slipway.predict(call, { word: 'apple', lines: 3, traceback: true });
    const logs = async (...filters: string[]) => {
      const ran = await truss.run('model-logs', ...address(), ...filters);
      expect(ran.code, ran.text).toBe(0);
      return ran.text;
    };
    await until('the lines are in the log', async () => (await logs()).includes('no such weights'));
    const one = await logs('--includes', 'apple', '--excludes', 'apple 0', '--excludes', 'apple 2');
    expect(one.match(/apple \d/g)).toEqual(['apple 1']);
    const errors = await logs('--min-level', 'error', '--since', '10m');
    expect(errors).toContain('ValueError: no such weights');
    expect(errors).not.toContain('apple');
    expect((await logs('--search-pattern', 'ap+le [12]$')).match(/apple \d/g)).toEqual(['apple 1', 'apple 2']);
    const replica = /\((\w{5})\) apple 1/.exec(await logs())![1]!;
    expect(await logs('--replica', replica, '--includes', 'apple')).toContain('apple 1');
    expect((await logs('--replica', 'zzzzz')).trim()).toBe('');
    const refused = await truss.run('model-logs', ...address(), '--search-pattern', '(');
    expect(refused.code).toBe(1);
    expect(refused.text).toContain('search_pattern');
  });

  test('model-logs --request-id finds the lines of one call', async ({ slipway, truss }) => {
    const weighing = await running('import logging', '', '', 'class Model:', '    def predict(self, request):', '        logging.warning("weighed %s", request["word"])', '        return {}');
    const pushed = await truss.push(weighing, '--model-name', unique('weighing'));
    await slipway.reaches(pushed.model, pushed.deployment, 'ACTIVE');
    for (const word of ['apples', 'pears']) {
      const answer = await fetch(`${slipway.url}/model/${pushed.model}/deployment/${pushed.deployment}/predict`, {
        method: 'POST',
        headers: { authorization: `Bearer ${slipway.key}`, 'x-baseten-request-id': `call-of-${word}` },
        body: JSON.stringify({ word }),
      });
      expect(answer.status, await answer.text()).toBe(200);
    }
    const logs = async (...filters: string[]) => {
      const ran = await truss.run('model-logs', '--model-id', pushed.model, '--deployment-id', pushed.deployment, ...REMOTE, ...filters);
      expect(ran.code, ran.text).toBe(0);
      return ran.text;
    };
    await until('both calls are in the log', async () => /weighed apples[^]*weighed pears/.test(await logs()));
    const one = await logs('--request-id', 'call-of-pears');
    expect(one).toContain('weighed pears');
    expect(one).not.toContain('weighed apples');
    expect((await logs('--request-id', 'call-of-nobody')).trim()).toBe('');
  });

  test('model-logs --tail goes on with what is written', async ({ slipway, truss }) => {
    const tail = Watch.start(truss, 'model-logs', ...address(), '--tail');
    await tail.says('the build is done');
    await slipway.predict(`/model/${model}/deployment/${deployment}/predict`, { word: 'while tailing', lines: 2 });
    await tail.says('while tailing 1');
    expect(tail.plain.split('while tailing 1')).toHaveLength(2);
    await tail.stop();
  });

  test('download brings the Truss as it was pushed, packed or not', async ({ truss }) => {
    const place = await mkdtemp(path.join(tmpdir(), 'truss-download-'));
    const unpacked = await truss.run('download', ...address(), '--out-dir', path.join(place, 'out'), '--non-interactive');
    expect(unpacked.code, unpacked.text).toBe(0);
    for (const file of ['config.yaml', 'model/model.py', 'model/__init__.py']) {
      expect(await readFile(path.join(place, 'out', file), 'utf8')).toBe(await readFile(path.join(folder, file), 'utf8'));
    }
    const packed = await truss.run('download', ...address(), '--out-file', path.join(place, 'out.tar'), '--non-interactive');
    expect(packed.code, packed.text).toBe(0);
    expect(execFileSync('tar', ['tf', path.join(place, 'out.tar')], { encoding: 'utf8' })).toContain('model/model.py');
  });

  test('model-config is the file as somebody wrote it, or all there is to know', async ({ truss }) => {
    const text = await truss.run('model-config', ...address());
    expect(text.stdout.trim()).toBe((await readFile(path.join(folder, 'config.yaml'), 'utf8')).trim());
    const all = await truss.run('model-config', ...address(), '--output', 'json');
    const { config, raw_config } = JSON.parse(all.stdout);
    expect(config.python_version).toBe('py311');
    expect(config.resources.memory).toBe('2Gi');
    expect(raw_config.trim()).toBe(text.stdout.trim());
  });

  test('predict takes its input from a file, too', async ({ truss }) => {
    const input = path.join(await mkdtemp(path.join(tmpdir(), 'truss-input-')), 'input.json');
    await writeFile(input, JSON.stringify({ word: 'from a file', lines: 2 }));
    const named = path.join(folder, 'config.yaml');
    const mine = unique('predicted');
    await writeFile(named, (await readFile(named, 'utf8')).replace(/model_name: .*/, `model_name: ${mine}`));
    const pushed = await truss.run('push', folder, ...REMOTE, '--non-interactive', '--wait');
    expect(pushed.code, pushed.text).toBe(0);
    const called = await truss.run('predict', '--target-directory', folder, ...REMOTE, '--published', '-f', input);
    expect(called.code, called.text).toBe(0);
    expect(called.text).toContain('"written": 2');
  });
});

test.describe('every flag of push is obeyed', () => {
  test('labels, a deadline, no cache, a team, and a log to look at meanwhile', async ({ slipway, truss }) => {
    test.setTimeout(180_000);
    const name = unique('flags');
    const ran = await truss.run(
      'push', await saying('flags'), ...REMOTE, '--non-interactive', '--model-name', name, '--wait', '--tail',
      '--labels', '{"team": "search"}', '--deploy-timeout-minutes', '45', '--no-cache', '--team', 'default',
    );
    expect(ran.code, ran.text).toBe(0);
    // The client looks at the log now and then, and no more once the deployment serves: its last lines may be missing.
    expect(ran.text, 'the log is shown while it deploys').toContain('installing requirements');
    expect(ran.text, 'nothing that was made before is used').toContain('an environment of its own without any cache');
    expect(ran.text).not.toContain('reusing an environment');
    const { body } = await slipway.rest('GET', `/v1/models?name=${name}`);
    const [only] = (await slipway.rest('GET', `/v1/models/${body.models[0].id}/deployments`)).body.deployments;
    expect(only.labels).toEqual({ team: 'search' });
    const config = (await slipway.rest('GET', `/v1/models/${only.model_id}/deployments/${only.id}/config`)).body;
    expect(config.config.build.no_cache).toBe(true);
    const kept = 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("SELECT document FROM deployment WHERE id = ?", sys.argv[2:]).fetchone()[0])';
    const document = execFileSync('python3', ['-c', kept, path.join(slipway.data, 'slipway.db'), only.id], { encoding: 'utf8' });
    expect(JSON.parse(document).deploy_timeout_minutes).toBe(45);
  });

  test('waiting ends with its time, and the deployment goes on', async ({ slipway, truss }) => {
    const folder = await running('import time', '', '', 'class Model:', '    def load(self):', '        time.sleep(12)', '', '    def predict(self, request):', '        return {}');
    const name = unique('patient');
    const started = performance.now();
    const ran = await truss.run('push', folder, ...REMOTE, '--non-interactive', '--model-name', name, '--wait', '--timeout-seconds', '3');
    expect(ran.code, ran.text).toBe(1);
    expect(ran.text).toContain('Deployment timed out');
    expect(performance.now() - started, 'it did not wait for the model').toBeGreaterThan(3_000);
    const [model] = (await slipway.rest('GET', `/v1/models?name=${name}`)).body.models;
    const [only] = await slipway.deployments(model.id);
    expect(['BUILDING', 'DEPLOYING', 'LOADING_MODEL']).toContain(only!.status);
    await slipway.reaches(model.id, only!.id, 'ACTIVE');
  });

  test('a configuration may lie elsewhere', async ({ slipway, truss }) => {
    const folder = await saying('elsewhere');
    const file = path.join(await mkdtemp(path.join(tmpdir(), 'truss-config-')), 'other.yaml');
    const text = (await readFile(path.join(folder, 'config.yaml'), 'utf8')) + 'environment_variables:\n  FROM: another file\n';
    await writeFile(file, text);
    const { model, deployment } = await truss.push(folder, '--model-name', unique('elsewhere'), '--config', file);
    const { body } = await slipway.rest('GET', `/v1/models/${model}/deployments/${deployment}/config`);
    expect(body.config.environment_variables).toEqual({ FROM: 'another file' });
    expect(body.raw_config.trim()).toBe(text.trim());
    const shown = await truss.run('model-config', '--model-id', model, '--deployment-id', deployment, ...REMOTE);
    expect(shown.stdout.trim()).toBe(text.trim());
    await slipway.reaches(model, deployment, 'ACTIVE');
  });

  test('publishing is what a push does anyway, and an environment keeps its instance type', async ({ slipway, truss }) => {
    test.setTimeout(180_000);
    const name = unique('published');
    const folder = await saying('published');
    const { model, deployment: first } = await truss.push(folder, '--model-name', name, '--publish', '--wait');
    await until('it serves production', async () => (await slipway.deployments(model))[0]?.is_production === true);
    const ran = await truss.run(
      'push', folder, ...REMOTE, '--non-interactive', '--model-name', name, '--publish', '--wait',
      '--environment', 'production', '--preserve-env-instance-type',
    );
    expect(ran.code, ran.text).toBe(0);
    expect(ran.text.replace(/\s+/g, ' ')).toContain("'preserve-env-instance-type' used");
    expect(ran.text).toContain('[DEPRECATED] The --publish flag');
    await until('the second serves production', async () => {
      const all = await slipway.deployments(model);
      return all.some(({ id, is_production }) => id !== first && is_production);
    });
    const all = (await slipway.rest('GET', `/v1/models/${model}/deployments`)).body.deployments;
    expect(all.map((each: any) => each.is_development)).toEqual([false, false]);
    expect(all[0].instance_type_name).toBe(all[1].instance_type_name);
  });

  test('downloads can be switched off', async ({ slipway, truss }) => {
    const { model, deployment } = await truss.push(await saying('locked'), '--model-name', unique('locked'), '--disable-truss-download');
    await slipway.reaches(model, deployment, 'ACTIVE');
    const address = ['--model-id', model, '--deployment-id', deployment, ...REMOTE];
    const refused = await truss.run('download', ...address, '--out-file', path.join(tmpdir(), unique('never')), '--non-interactive');
    expect(refused.code).toBe(1);
    expect(refused.text).toContain('downloads disabled');
  });

  test('promoting may keep what served before, and an environment is pushed to directly', async ({ slipway, truss }) => {
    test.setTimeout(240_000);
    const name = unique('kept');
    const folder = await saying('kept');
    const { model, deployment: first } = await truss.push(folder, '--model-name', name, '--wait');
    const flags = ['--promote', '--preserve-previous-production-deployment', '--wait'];
    const { deployment: second } = await truss.push(folder, '--model-name', name, ...flags);
    await until('the second serves production', async () => {
      const all = await slipway.deployments(model);
      return all.find(({ id }) => id === second)?.is_production === true;
    });
    expect((await slipway.deployments(model)).find(({ id }) => id === first)?.status).toBe('ACTIVE');

    expect((await slipway.rest('POST', `/v1/models/${model}/environments`, { name: 'staging' })).status).toBe(200);
    const staged = await truss.push(folder, '--model-name', name, '--environment', 'staging', '--no-preserve-env-instance-type', '--wait');
    await until('it serves staging', async () => {
      const all = await slipway.deployments(model);
      return all.find(({ id }) => id === staged.deployment)?.environment === 'staging';
    });
  });

  test('what is wrong is said before anything is uploaded', async ({ truss }) => {
    const folder = await saying('wrong');
    for (const [flags, word] of [
      [['--team', 'nobody'], 'nobody'],
      [['--deploy-timeout-minutes', '5'], 'deploy-timeout-minutes'],
      [['--labels', 'not json'], 'labels'],
    ] as const) {
      const ran = await truss.run('push', folder, ...REMOTE, '--non-interactive', '--model-name', unique('never'), ...flags);
      expect(ran.code).not.toBe(0);
      expect(ran.text).toContain(word);
    }
  });
});
