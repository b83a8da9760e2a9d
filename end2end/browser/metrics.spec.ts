import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, open, signIn, test } from '../support/test.ts';

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
