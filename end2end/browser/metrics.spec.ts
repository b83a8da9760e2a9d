import AxeBuilder from '@axe-core/playwright';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, hydrated, open, signIn, test } from '../support/test.ts';

test('what was asked of a deployment is drawn, and goes on while one looks', async ({ page, slipway, truss }) => {
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('metrics'));
  await slipway.reaches(model, deployment, 'ACTIVE');
  const ask = async (times: number) => {
    for (let call = 0; call < times; call += 1) {
      expect((await slipway.predict(`/model/${model}/production/predict`)).status).toBe(200);
    }
  };
  await ask(12);

  await signIn(page, slipway);
  await open(page, `/models/${model}/deployments/${deployment}`);
  await page.getByRole('link', { name: 'Metrics', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Metrics of deployment-1');
  // The counters are looked at every ten seconds; the page reads again by itself.
  const headline = (requests: number) => page.getByText(`${requests} requests in the last hour, and none failed.`);
  await expect(headline(12)).toBeVisible({ timeout: 30_000 });
  await ask(3);
  await expect(headline(15)).toBeVisible({ timeout: 30_000 });
  await expect(page.getByRole('img', { name: /^Requests a second: \d\d:\d\d:\d\d UTC: 2xx / })).toBeVisible();
  await expect(page.getByRole('img', { name: /^Processor: \d\d:\d\d:\d\d UTC: all replicas \S+ cores, \w+ \S+ cores;/ })).toBeVisible();
  await expect(page.getByRole('img', { name: /^Inference: .* p50 / })).toBeVisible();
  await expect(page.getByRole('img', { name: /^Response size: .* p50 .* KiB/ })).toBeVisible();
  await expect(page.getByRole('img', { name: /^Memory: \d\d:\d\d:\d\d UTC: all replicas \d/ })).toBeVisible();
  await expect(page.getByRole('listitem').filter({ hasText: 'deployment-1 serves production' })).toBeVisible();

  await page.getByRole('link', { name: 'Last 15 minutes' }).click();
  await expect(page.getByText('15 requests in the last 15 minutes, and none failed.')).toBeVisible();
  await page.getByText('The numbers as a table').click();
  await expect(page.getByRole('region', { name: 'Numbers' }).getByRole('row')).not.toHaveCount(1);
});

test('graphs are hidden and moved for one model, and stay so', async ({ page, slipway, truss }) => {
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('arranged'));
  const { model: other } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('as-usual'));
  const titles = page.getByRole('region', { name: 'Charts' }).locator('.kind');
  const list = page.getByRole('list', { name: 'Graphs' });
  const button = (name: string) => list.getByRole('button', { name, exact: true });

  await signIn(page, slipway);
  await open(page, `/models/${model}/metrics`);
  const usual = await titles.allTextContents();
  expect(usual.slice(0, 3)).toEqual(['Requests a second', 'End to end', 'First byte']);
  await page.getByText('Arrange graphs').click();
  await list.getByRole('checkbox', { name: 'End to end' }).uncheck();
  await expect(titles).toHaveText(usual.filter((title) => title !== 'End to end'));
  await expect(page.getByText('Arrange graphs (1 hidden)')).toBeVisible();

  // The focus goes along, so that a key can be pressed again; at the end there is only the way back.
  await button('Move First byte up').click();
  await expect(page.getByText(`First byte is now 2 of ${usual.length}.`)).toBeAttached();
  await expect(button('Move First byte up')).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByText(`First byte is now 1 of ${usual.length}.`)).toBeAttached();
  await expect(button('Move First byte down')).toBeFocused();
  await expect(button('Move First byte up')).toBeDisabled();
  const chosen = ['First byte', 'Requests a second', ...usual.slice(3)];
  await expect(titles).toHaveText(chosen);
  const { violations } = await new AxeBuilder({ page }).include('.arrange').analyze();
  expect(violations).toEqual([]);

  await page.reload();
  await hydrated(page);
  await expect(titles).toHaveText(chosen);
  await open(page, `/models/${model}/deployments/${deployment}/metrics`);
  await expect(titles).toHaveText(chosen);
  await open(page, `/models/${other}/metrics`);
  await page.getByText('Arrange graphs').click();
  await expect(list.getByRole('checkbox').first()).toBeChecked();
  await expect(titles).toHaveText(usual);

  await open(page, `/models/${model}/metrics`);
  await expect(titles).toHaveText(chosen);
  await page.getByText('Arrange graphs').click();
  for (const box of await list.getByRole('checkbox').all()) await box.uncheck();
  await expect(titles).toHaveCount(0);
  await expect(page.getByRole('heading', { name: 'Every graph is hidden' })).toBeVisible();
  await page.getByRole('button', { name: 'Show all graphs' }).click();
  await expect(titles).toHaveText(['First byte', 'Requests a second', 'End to end', ...usual.slice(3)]);
  await expect(page.getByText('Arrange graphs', { exact: true })).toBeFocused();
  await page.getByRole('button', { name: 'Reset', exact: true }).click();
  await expect(titles).toHaveText(usual);
  await page.reload();
  await hydrated(page);
  await page.getByText('Arrange graphs').click();
  await expect(list.getByRole('checkbox').first()).toBeChecked();
  await expect(titles).toHaveText(usual);
});
