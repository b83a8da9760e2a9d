import { readFile } from 'node:fs/promises';
import type { Page } from '@playwright/test';
import { until, type Slipway } from '../support/slipway.ts';
import { printing, unique } from '../support/truss.ts';
import { expect, open, signIn, test } from '../support/test.ts';

/** Rows that may be in the page, however many lines there are. */
const DRAWN = 300;

const log = (page: Page) => page.getByRole('log', { name: 'Log lines' });
const line = (page: Page, text: string) => log(page).locator('.line:not(.ruler)').filter({ hasText: text });

/** The link to the log as a file. */
const files = (page: Page, format: string) =>
  page.getByRole('group', { name: 'Download' }).getByRole('link', { name: format });

/** Lets a model's process write lines `word 0`, `word 1`, … */
async function print(
  slipway: Slipway,
  { model, deployment }: { model: string; deployment: string },
  word: string,
  lines: number,
  extra: object = {},
): Promise<void> {
  const answer = await slipway.predict(`/model/${model}/deployment/${deployment}/predict`, { word, lines, ...extra });
  expect(answer.status).toBe(200);
}

test.describe('the log of a deployment', () => {
  // One story: later tests count on the lines of earlier ones.
  test.describe.configure({ mode: 'serial' });

  let model: string;
  let deployment: string;
  let address: string;

  test.beforeAll(async ({ slipway, truss }) => {
    ({ model, deployment } = await truss.push(await printing(), '--model-name', unique('logs')));
    await slipway.reaches(model, deployment, 'ACTIVE');
    address = `/models/${model}/deployments/${deployment}`;
  });

  const write = (slipway: Slipway, word: string, lines: number, extra: object = {}) =>
    print(slipway, { model, deployment }, word, lines, extra);
  const drawn = (page: Page) => log(page).locator('.line:not(.ruler)').count();
  /** Scrolls the page to its log once what comes later has its place above it. */
  async function comesIntoView(page: Page): Promise<void> {
    await expect(page.locator('.part .loading')).toHaveCount(0);
    await log(page).evaluate((view) => view.scrollIntoView({ block: 'center' }));
  }

  /** Keys scroll smoothly: waits until that is over. */
  const rests = (page: Page) =>
    log(page).evaluate(async (view) => {
      for (let frames = 0, last = view.scrollTop; frames < 15; frames += 1) {
        await new Promise(requestAnimationFrame);
        if (view.scrollTop !== last) frames = 0;
        last = view.scrollTop;
      }
    });

  const isAtEnd = (page: Page) =>
    expect.poll(() => log(page).evaluate((view) => view.scrollHeight - view.scrollTop - view.clientHeight)).toBeLessThan(60);

  test('a line appears while one looks, and one may stop that', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, address);
    await expect(line(page, 'the build is done')).toHaveCount(1);
    await write(slipway, 'hello', 1);
    await expect(line(page, 'hello 0')).toBeVisible();

    await page.getByLabel('Tail').uncheck();
    await write(slipway, 'unheard', 1);
    await page.getByLabel('Tail').check();
    await expect(line(page, 'unheard 0')).toHaveCount(1);
    await write(slipway, 'again', 1);
    await expect(line(page, 'again 0')).toBeVisible();
    for (const text of ['hello 0', 'unheard 0', 'again 0']) await expect(line(page, text)).toHaveCount(1);
  });

  test('a traceback is one line and an error, and JSON is told in words', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, address);
    await write(slipway, 'x', 0, { traceback: true, json: true });
    const trace = line(page, 'Traceback (most recent call last):');
    await expect(trace).toContainText('ValueError: no such weights');
    await expect(trace).toHaveAttribute('data-level', 'error');
    await expect(line(page, 'request done')).toContainText('took_ms=12');
  });

  test('what is searched for stays in the address and lets new lines through', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, address);
    const form = page.getByRole('search', { name: 'Filter the log' });
    await form.getByLabel('Search').fill('needle -other');
    await form.getByRole('button', { name: 'Filter' }).click();
    await expect(page).toHaveURL(/search=needle/);
    await expect(page.getByText('No line matches. New ones that do appear here.')).toBeVisible();
    await write(slipway, 'Needle other', 1);
    await write(slipway, 'a Needle', 1);
    await expect(line(page, 'a Needle 0')).toBeVisible();
    await expect(line(page, 'Needle other')).toHaveCount(0);

    await form.getByLabel('Level').selectOption('Errors');
    await expect(page).toHaveURL(/level=ERROR/);
    await form.getByLabel('Search').fill('/weights$/');
    await form.getByRole('button', { name: 'Filter' }).click();
    await expect(line(page, 'no such weights')).toHaveCount(1);
    await expect(line(page, 'the build is done')).toHaveCount(0);

    await form.getByLabel('Search').fill('/(/');
    await form.getByRole('button', { name: 'Filter' }).click();
    await expect(page.getByText('is no regular expression')).toBeVisible();
    await form.getByRole('link', { name: 'Show all lines' }).click();
    await expect(page).not.toHaveURL(/search=/);
    await expect(line(page, 'a Needle 0')).toHaveCount(1);

    await line(page, 'a Needle 0').getByRole('link').click();
    await expect(page).toHaveURL(/search=replica%3A/);
    await expect(line(page, 'a Needle 0')).toHaveCount(1);
    await expect(line(page, 'the build is done')).toHaveCount(0);
  });

  test('a break of the connection loses no line and doubles none', async ({ page, slipway, context }) => {
    await signIn(page, slipway);
    await open(page, address);
    await write(slipway, 'before the break', 1);
    await expect(line(page, 'before the break 0')).toBeVisible();
    await context.setOffline(true);
    await page.getByLabel('Tail').uncheck();
    await page.getByLabel('Tail').check();
    await expect(page.getByText('The connection is lost; new lines follow')).toBeVisible();
    await write(slipway, 'meanwhile', 3);
    await context.setOffline(false);
    await expect(line(page, 'meanwhile 2')).toBeVisible();
    await expect(page.getByText('The connection is lost; new lines follow')).toHaveCount(0);
    for (const number of [0, 1, 2]) await expect(line(page, `meanwhile ${number}`)).toHaveCount(1);
  });

  test('a hundred thousand lines scroll, with few of them in the page', async ({ page, slipway }) => {
    test.setTimeout(240_000);
    await signIn(page, slipway);
    await open(page, address);
    await write(slipway, 'many', 100_000);
    await expect(line(page, 'many 99999')).toBeVisible({ timeout: 90_000 });
    await expect(page.getByText(/^the newest 100000 lines|^1000\d\d lines/)).toBeVisible();
    await isAtEnd(page);
    expect(await drawn(page)).toBeLessThan(DRAWN);

    // Further up, what one looks at stays, and a button says what came.
    await log(page).focus();
    for (let press = 0; press < 5; press += 1) await page.keyboard.press('PageUp');
    await expect(line(page, 'many 99999')).not.toBeInViewport();
    const looked = () =>
      log(page).evaluate((view) => {
        const { left, top } = view.getBoundingClientRect();
        return document.elementFromPoint(left + 160, top + 60)?.closest('.line')?.textContent;
      });
    await comesIntoView(page);
    await rests(page);
    const before = await looked();
    expect(before).toContain('many');
    await write(slipway, 'later', 12);
    // The server of the model writes a line of its own for each request.
    const button = page.getByRole('button', { name: '13 new lines' });
    await expect(button).toBeVisible();
    expect(await looked()).toBe(before);
    expect(await drawn(page)).toBeLessThan(DRAWN);
    await button.click();
    await expect(line(page, 'later 11')).toBeInViewport();

    // To the middle, to the beginning and back, drawn wherever one is.
    await log(page).evaluate((view) => (view.scrollTop = view.scrollHeight / 2));
    await expect(line(page, 'many ').first()).toBeAttached();
    expect(await drawn(page)).toBeLessThan(DRAWN);
    await page.keyboard.press('End');
    await expect(line(page, 'later 11')).toBeInViewport();
  });

  test('older lines come when one scrolls up to them', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, address);
    await comesIntoView(page);
    await expect(line(page, 'later 11')).toBeInViewport();
    await expect(page.getByText('the newest 200 lines; scroll up for older ones')).toBeVisible();
    const read = await slipway.rest('GET', `/api/ui/logs?model_id=${model}&deployment_id=${deployment}`);
    const oldest = read.body.lines[0].message as string;
    await log(page).evaluate((view) => (view.scrollTop = 0));
    await expect(page.getByText('the newest 700 lines; scroll up for older ones')).toBeVisible();
    // What one looked at is where it was: not the oldest line is in view, but the one that was the oldest before.
    await expect(line(page, oldest)).toBeInViewport();
    expect(await drawn(page)).toBeLessThan(DRAWN);
  });

  test('the whole log is a file', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, address);
    const download = page.waitForEvent('download');
    await files(page, 'Text').click();
    const file = await download;
    expect(file.suggestedFilename()).toMatch(/^logs-.*-deployment-1-\d{4}-\d\d-\d\dT\d{6}Z\.log$/);
    const text = await readFile(await file.path(), 'utf8');
    expect(text.match(/ many \d+$/gm)).toHaveLength(100_000);
    expect(text).toContain('the build is done');
  });

  test('what is filtered is a table or lines of JSON, by the keyboard, too', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, `${address}?search=later#logs`);
    await expect(line(page, 'later 11')).toHaveCount(1);
    const save = async (format: string) => {
      const download = page.waitForEvent('download');
      await files(page, format).focus();
      await page.keyboard.press('Enter');
      const file = await download;
      return { name: file.suggestedFilename(), text: await readFile(await file.path(), 'utf8') };
    };
    const table = await save('CSV');
    expect(table.name).toMatch(/^logs-.*-deployment-1-.*Z\.csv$/);
    const [head, first] = table.text.split('\r\n');
    expect(head).toBe('timestamp,message,replica,request_id,level');
    expect(first).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z,/);
    const json = await save('JSON');
    expect(json.name).toMatch(/^logs-.*-deployment-1-.*Z\.jsonl$/);
    const lines = json.text.trimEnd().split('\n').map((text) => JSON.parse(text) as { message: string });
    expect(lines.map(({ message }) => message)).toContain('later 11');
    expect(lines.every(({ message }) => message.includes('later'))).toBe(true);
  });

  test.describe('without JavaScript', () => {
    test.use({ javaScriptEnabled: false });

    test('the last lines are a plain list, and can be filtered', async ({ page, slipway }) => {
      await page.goto('/sign-in');
      await page.getByLabel('API key').fill(slipway.key);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.goto(address);
      await expect(line(page, 'later 11')).toHaveCount(1);
      await expect(log(page).locator('.line:not(.ruler)')).toHaveCount(200);
      const form = page.getByRole('search', { name: 'Filter the log' });
      await form.getByLabel('Search').fill('hello');
      await form.getByRole('button', { name: 'Filter' }).click();
      await expect(page).toHaveURL(/search=hello/);
      await expect(line(page, 'hello 0')).toHaveCount(1);
      await expect(line(page, 'later')).toHaveCount(0);
    });
  });
});

test.describe('the log of an environment', () => {
  // One story: a promotion from its beginning to its end.
  test.describe.configure({ mode: 'serial' });

  let model: string;
  let address: string;
  /** What serves production, and what is promoted. */
  let first: { model: string; deployment: string };
  let second: { model: string; deployment: string };

  test.beforeAll(async ({ slipway, truss }) => {
    const [folder, name] = [await printing(), unique('sides')];
    first = await truss.push(folder, '--model-name', name);
    model = first.model;
    await slipway.reaches(model, first.deployment, 'ACTIVE');
    second = await truss.push(folder, '--model-name', name);
    await slipway.reaches(model, second.deployment, 'ACTIVE', 'SCALED_TO_ZERO');
    address = `/models/${model}/environments/production`;
  });

  /** Waits until the environment is as wanted. */
  const stands = (slipway: Slipway, what: string, wanted: (environment: any) => boolean) =>
    until(what, async () => wanted((await slipway.rest('GET', `/v1${address}`)).body), 90_000);
  /** The name of a deployment in a line of its. */
  const of = (page: Page, text: string, name: string) => line(page, text).getByRole('link', { name, exact: true });

  test('both sides of a promotion appear as they write, each line with its deployment', async ({ page, slipway }) => {
    test.setTimeout(240_000);
    await print(slipway, second, 'elsewhere', 1);
    await print(slipway, first, 'alone', 1);
    await signIn(page, slipway);
    await open(page, address);
    await page.getByRole('link', { name: 'Logs', exact: true }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Logs of production');
    await expect(of(page, 'alone 0', 'deployment-1')).toBeVisible();
    await expect(line(page, 'elsewhere 0')).toHaveCount(0);

    const begun = await slipway.rest('POST', `/v1${address}/promote`, {
      deployment_id: second.deployment,
      promotion_settings_override: { ramp_up_while_promoting: true, ramp_up_duration_seconds: 360_000 },
    });
    expect(begun.status).toBe(200);
    await stands(slipway, 'the canary runs', (body) => body.in_progress_promotion?.status === 'RAMPING_UP');
    await print(slipway, second, 'azure', 1);
    await expect(of(page, 'azure 0', 'deployment-2')).toBeVisible();
    await print(slipway, first, 'ruby', 1);
    await expect(of(page, 'ruby 0', 'deployment-1')).toBeVisible();
    const lines = await log(page).locator('.line:not(.ruler) .message').allInnerTexts();
    expect(lines.indexOf('azure 0')).toBeGreaterThan(-1);
    expect(lines.indexOf('ruby 0')).toBeGreaterThan(lines.indexOf('azure 0'));
  });

  test('the filter holds for both sides, also for lines that come', async ({ page, slipway }) => {
    await signIn(page, slipway);
    await open(page, `${address}/logs`);
    const form = page.getByRole('search', { name: 'Filter the log' });
    await form.getByLabel('Search').fill('azur -other');
    await form.getByRole('button', { name: 'Filter' }).click();
    await expect(page).toHaveURL(/\/environments\/production\/logs\?search=azur/);
    await expect(of(page, 'azure 0', 'deployment-2')).toBeVisible();
    await expect(line(page, 'ruby 0')).toHaveCount(0);
    await print(slipway, first, 'other azurish', 1);
    await print(slipway, first, 'azurish', 1);
    await expect(of(page, 'azurish 0', 'deployment-1')).toBeVisible();
    await expect(line(page, 'other')).toHaveCount(0);

    // Only lines of one replica, so of one side.
    await line(page, 'azure 0').getByRole('link').last().click();
    await expect(page).toHaveURL(/\/environments\/production\/logs\?search=replica%3A/);
    await expect(line(page, 'azure 0')).toHaveCount(1);
    await expect(line(page, 'azurish 0')).toHaveCount(0);

    await form.getByRole('link', { name: 'Show all lines' }).click();
    await expect(page).not.toHaveURL(/search=/);
    await form.getByLabel('Level').selectOption('Errors');
    await expect(page).toHaveURL(/level=ERROR/);
    await print(slipway, second, 'x', 0, { traceback: true });
    await expect(of(page, 'no such weights', 'deployment-2')).toBeVisible();
    // Beside the first of its rows.
    const tops = await line(page, 'no such weights').evaluate((row) =>
      ['.side a', '.from a'].map((name) => row.querySelector(name)?.getBoundingClientRect().top),
    );
    expect(tops[0]).toBe(tops[1]);
    await expect(line(page, 'azure 0')).toHaveCount(0);
  });

  test('what has left is heard no more, and stays for its time', async ({ page, slipway }) => {
    test.setTimeout(240_000);
    await signIn(page, slipway);
    await open(page, `${address}/logs`);
    await expect(line(page, 'azurish 0').first()).toBeVisible();
    expect((await slipway.rest('POST', `/v1${address}/force_roll_forward_promotion`, {})).status).toBe(200);
    await stands(slipway, 'it is over', (body) => body.current_deployment?.id === second.deployment);
    await print(slipway, first, 'departed', 1);
    await print(slipway, second, 'remains', 1);
    await expect(of(page, 'remains 0', 'deployment-2')).toBeVisible();
    await expect(line(page, 'departed 0')).toHaveCount(0);

    await open(page, `${address}/logs?search=departed`);
    await expect(page.getByText('No line matches. New ones that do appear here.')).toBeVisible();
    await open(page, `${address}/logs?search=ruby`);
    await expect(of(page, 'ruby 0', 'deployment-1')).toBeVisible();

    await open(page, `${address}/logs`);
    const download = page.waitForEvent('download');
    await files(page, 'Text').click();
    const file = await download;
    expect(file.suggestedFilename()).toMatch(/^sides-.*-production-\d{4}-\d\d-\d\dT\d{6}Z\.log$/);
    const text = await readFile(await file.path(), 'utf8');
    expect(text).toMatch(/ deployment-1 \S+ +ruby 0$/m);
    expect(text).toMatch(/ deployment-2 \S+ +azure 0$/m);
    for (const missing of ['departed 0', 'elsewhere 0']) expect(text).not.toContain(missing);
  });

  test.describe('without JavaScript', () => {
    test.use({ javaScriptEnabled: false });

    test('lines say whose they are, and can be filtered', async ({ page, slipway }) => {
      await page.goto('/sign-in');
      await page.getByLabel('API key').fill(slipway.key);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.goto(`${address}/logs`);
      const form = page.getByRole('search', { name: 'Filter the log' });
      await form.getByLabel('Search').fill('azure');
      await form.getByRole('button', { name: 'Filter' }).click();
      await expect(page).toHaveURL(/search=azure/);
      await expect(of(page, 'azure 0', 'deployment-2')).toBeVisible();
      await expect(line(page, 'ruby 0')).toHaveCount(0);
    });
  });
});
