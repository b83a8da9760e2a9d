import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { until } from '../support/slipway.ts';
import { Watch, saying, unique } from '../support/truss.ts';
import { choose, expect, open, signIn, test } from '../support/test.ts';

test.describe('the development deployment on its page', () => {
  // One story: what is edited first is copied next and promoted last.
  test.describe.configure({ mode: 'serial' });

  let watch: Watch;
  let file: string;
  let code: string;
  let model: string;
  let development: string;

  test.beforeAll(async ({ slipway, truss }) => {
    test.setTimeout(180_000);
    const folder = await saying('one');
    const name = unique('development');
    const config = path.join(folder, 'config.yaml');
    // Small, for there are several of it side by side.
    const small = ['resources:', '  cpu: 500m', '  memory: 256Mi', ''].join('\n');
    await writeFile(config, (await readFile(config, 'utf8')).replace('Sides', name) + small);
    file = path.join(folder, 'model', 'model.py');
    code = await readFile(file, 'utf8');
    watch = Watch.start(truss, 'push', folder, '--watch', '--remote', 'local', '--non-interactive');
    await watch.says('Watching for changes');
    model = (await slipway.rest('GET', `/v1/models?name=${name}`)).body.models[0].id;
    development = (await slipway.deployments(model)).find((deployment) => deployment.is_development)!.id;
    // The client watches as soon as the model loads.
    await slipway.reaches(model, development, 'ACTIVE');
  });

  test.afterAll(async ({ slipway }) => {
    await watch?.stop();
    await slipway.rest('DELETE', `/v1/models/${model}`);
  });

  test.beforeEach(async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, `/models/${model}/deployments/${development}`);
  });

  /** Saves another word for the model to answer, and waits until the client says that it serves. */
  async function edit(word: string): Promise<void> {
    const heard = watch.plain.length;
    await writeFile(file, code.replace('"one"', `"${word}"`));
    await watch.says('patched successfully', heard);
  }

  const panel = (page: Page) => page.getByRole('region', { name: 'Live reload', exact: true });

  test('a broken edit shows its traceback while the code before it serves, and a mended one takes it away', async ({ page, slipway }) => {
    test.setTimeout(180_000);
    const answers = async () => (await slipway.predict(`/model/${model}/development/predict`)).body?.side;
    await expect(panel(page)).toContainText('runs as it was pushed');
    await expect(panel(page)).toContainText('No copy has been made.');

    await writeFile(file, `raise RuntimeError("no weights here")\n${code}`);
    const why = panel(page).getByRole('region', { name: 'Why the last change did not come up' });
    await expect(why).toContainText('Traceback (most recent call last)', { timeout: 90_000 });
    await expect(why).toContainText('RuntimeError: no weights here');
    await expect(panel(page)).toContainText('the last change did not come up');
    expect(await answers()).toBe('one');
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map((violation) => violation.id)).toEqual([]);
    // The page says the same to whoever comes later.
    await page.reload();
    await expect(why).toContainText('RuntimeError: no weights here');

    await edit('two');
    await expect(panel(page)).toContainText('the last change runs');
    await expect(why).toHaveCount(0);
    expect(await answers()).toBe('two');
  });

  test('it is published from its page, and lists what has changed since, line by line', async ({ page, slipway }) => {
    test.setTimeout(180_000);
    await choose(page, 'development', 'Publish');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('from-its-page');
    await dialog.getByRole('button', { name: 'Publish' }).click();
    await expect(dialog).toHaveCount(0);
    await expect(panel(page)).toContainText('Copied as from-its-page');
    await expect(panel(page)).toContainText('nothing has changed since');
    const copy = (await slipway.deployments(model)).find(({ name }) => name === 'from-its-page')!.id;
    await slipway.reaches(model, copy, 'ACTIVE');

    await edit('three');
    await expect(panel(page)).toContainText('one file has changed since');
    const files = panel(page).getByRole('list', { name: 'Files changed since the copy' });
    await files.getByText('model/model.py').click();
    const changes = files.getByRole('region', { name: 'Changes of model/model.py' });
    await expect(changes.locator('.removed')).toHaveText(/^- +return \{"side": "two"\}\s*$/);
    await expect(changes.locator('.added')).toHaveText(/^\+ +return \{"side": "three"\}\s*$/);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map((violation) => violation.id)).toEqual([]);

    const published = await slipway.predict(`/model/${model}/deployment/${copy}/predict`);
    expect(published.body.side, 'the copy has what ran when it was made').toBe('two');
  });

  test('it is promoted to production from its page by a copy, which no later edit reaches', async ({ page, slipway }) => {
    test.setTimeout(180_000);
    await page.getByRole('button', { name: 'Promote…' }).click();
    const dialog = page.getByRole('dialog');
    await expect(dialog.getByLabel('Deployment')).toHaveValue(development);
    await expect(dialog).toContainText('A copy of it as it is now is promoted.');
    await dialog.getByLabel('Environment').selectOption('production');
    await dialog.getByLabel('Strategy').selectOption('direct');
    await dialog.getByRole('button', { name: 'Promote to production' }).click();
    await expect(dialog).toHaveCount(0);
    const production = async () => (await slipway.predict(`/model/${model}/production/predict`)).body?.side;
    await until('production answers with the copy', async () => (await production()) === 'three', 60_000);

    const environment = `/v1/models/${model}/environments/production`;
    await until('the promotion is over', async () => !(await slipway.rest('GET', environment)).body.in_progress_promotion, 60_000);

    await edit('four');
    await expect(panel(page)).toContainText('one file has changed since');
    expect((await slipway.predict(`/model/${model}/development/predict`)).body.side).toBe('four');
    expect(await production()).toBe('three');
    const copy = (await slipway.deployments(model)).find(({ is_production }) => is_production)!;
    expect(copy.is_development).toBe(false);
    await expect(panel(page)).toContainText(`Copied as ${copy.name}`);
    await expect(page.getByRole('heading', { name: 'development', exact: true })).toBeVisible();
  });
});
