import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, hydrated, open, row, signIn, test } from '../support/test.ts';

/** Models beside the one that is pushed: more than a page has. */
const SEEDED = 60;
const A_PAGE = 50;

// A server of its own: what other tests push is no part of the count.
test.use({ settings: { SLIPWAY_LOG: 'info' } });

test('the list of models comes in pages, and filters while one types', async ({ page, slipway, truss }) => {
  test.setTimeout(180_000);
  const name = unique('alone');
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', name);
  await slipway.reaches(model, deployment, 'ACTIVE');
  await slipway.kill('SIGTERM');
  const seed = fileURLToPath(new URL('../bench/seed.py', import.meta.url));
  execFileSync('python3', [seed, path.join(slipway.data, 'slipway.db'), String(SEEDED), '1', 'paged']);
  await slipway.up();

  await signIn(page, slipway);
  const rows = page.locator('tbody').getByRole('row');
  const places = page.getByRole('navigation', { name: 'Models by their last change' });
  await expect(rows).toHaveCount(A_PAGE);
  await expect(places).toContainText(`${SEEDED + 1} models in all`);
  await expect(places.getByRole('link', { name: 'Newest' })).toHaveCount(0);
  const first = await rows.allInnerTexts();
  await places.getByRole('link', { name: 'Older' }).click();
  await expect(page).toHaveURL(/cursor=/);
  await expect(rows).toHaveCount(SEEDED + 1 - A_PAGE);
  await expect(places.getByRole('link', { name: 'Older' })).toHaveCount(0);
  const names = (all: string[]) => all.map((text) => text.trim().split(/\n|\t/)[0]);
  const second = names(await rows.allInnerTexts());
  expect(second.filter((each) => names(first).includes(each)), 'on both pages').toEqual([]);
  await page.reload();
  await hydrated(page);
  await expect(rows).toHaveCount(SEEDED + 1 - A_PAGE);
  await places.getByRole('link', { name: 'Newest' }).click();
  await expect(rows).toHaveCount(A_PAGE);

  // Letter by letter: the list is read anew, and the field keeps what is typed and the focus.
  const field = page.getByLabel('Filter');
  await field.click();
  await field.pressSequentially('MODEL 00', { delay: 60 });
  await expect(rows).toHaveCount(10);
  await expect(field).toBeFocused();
  await expect(field).toHaveValue('MODEL 00');
  await field.fill(name);
  await expect(rows).toHaveCount(1);
  await expect(row(page, name)).toBeVisible();
  await expect(field).toBeFocused();
  await field.fill('nothing is called so');
  await expect(page.getByText('No model has this in its name.')).toBeVisible();
  await expect(rows).toHaveCount(0);
  await field.fill('');
  await expect(rows).toHaveCount(A_PAGE);

  // The filter in an address is what the page begins with.
  await open(page, '/models?filter=model%2001');
  await expect(page.getByLabel('Filter')).toHaveValue('model 01');
  await expect(rows).toHaveCount(10);
});
