import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { saying, unique } from '../support/truss.ts';
import { choose, expect, open, row, signIn, status, test } from '../support/test.ts';

// Of the machine's files a model sees what the server's settings name, whoever it runs as.
const files = mkdtempSync(path.join(tmpdir(), 'weights-'));
chmodSync(files, 0o755);
const settings = path.join(mkdtempSync(path.join(tmpdir(), 'settings-')), 'slipway.toml');
writeFileSync(settings, `[machine]\nreadable = [${JSON.stringify(files)}]\n`);
test.use({ settings: { SLIPWAY_CONFIG: settings } });

test('a deployment that failed says why, and a retry brings it up once the cause is gone', async ({ page, slipway, truss }) => {
  test.setTimeout(120_000);
  const weights = path.join(files, 'weights.bin');
  const folder = await saying('loaded');
  await writeFile(
    path.join(folder, 'model', 'model.py'),
    ['class Model:', '    def load(self):', `        open(${JSON.stringify(weights)}).close()`, '', '    def predict(self, request):', '        return {"side": "loaded"}', ''].join('\n'),
  );
  const { model, deployment } = await truss.push(folder, '--model-name', unique('retry'));
  await slipway.reaches(model, deployment, 'DEPLOY_FAILED');

  await signIn(page, slipway);
  await open(page, `/models/${model}/deployments/${deployment}`);
  await expect(page.getByText('No such file or directory').first()).toBeVisible();

  await writeFile(weights, 'x');
  await open(page, `/models/${model}`);
  await choose(page, 'deployment-1', 'Retry');
  await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click();
  await expect(status(row(page, 'deployment-1'), 'Active')).toBeVisible({ timeout: 60_000 });
  expect((await slipway.predict(`/model/${model}/deployment/${deployment}/predict`)).status).toBe(200);

  await page.getByRole('button', { name: 'Actions for deployment-1' }).click();
  await expect(page.getByText('it has not failed; there is nothing to retry')).toBeVisible();
});
