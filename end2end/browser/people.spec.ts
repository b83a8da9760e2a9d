import { execFileSync } from 'node:child_process';

import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';

import { expect, hydrated, open, row, test } from '../support/test.ts';
import { BINARY, Slipway } from '../support/slipway.ts';

const PASSWORD = 'correct horse battery';

/** A one-time link, as whoever owns the machine gets it. */
function login(slipway: Slipway, ...who: string[]): string {
  const link = execFileSync(BINARY, ['login', '--data-dir', slipway.data, ...who], { encoding: 'utf8' }).trim();
  return new URL(link).pathname + new URL(link).search;
}

async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.target.join(' '))}`)).toEqual([]);
}

test('a team comes, works within its roles, and leaves', async ({ page, browser, slipway }) => {
  // Two browsers and twelve pages.
  test.slow();
  // The first link makes the first admin.
  await open(page, login(slipway));
  await expect(page.getByRole('heading', { name: 'Welcome to Slipway' })).toBeVisible();
  await accessible(page);
  await page.getByLabel('E-mail address').fill('ada@example.org');
  await page.getByLabel('Your name').fill('Ada');
  await page.getByLabel('New password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Become the first admin' }).click();
  await expect(page).toHaveURL(/\/models$/);

  // She invites somebody.
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(page.getByRole('heading', { name: 'People', level: 1 })).toBeVisible();
  await expect(row(page, 'ada@example.org')).toContainText('you');
  await page.getByLabel('E-mail address').fill('ben@example.org');
  await page.getByLabel('Role').last().selectOption('viewer');
  await page.getByRole('button', { name: 'Make an invitation' }).click();
  const shown = page.getByRole('region', { name: 'invitation', exact: true });
  await expect(shown).toContainText('token=');
  const invitation = new URL((await shown.innerText()).trim());
  await expect(row(page, 'ben@example.org')).toBeVisible();
  await accessible(page);

  // He joins in a browser of his own, and may look only.
  const elsewhere = await browser.newContext();
  const ben = await elsewhere.newPage();
  await open(ben, invitation.pathname + invitation.search);
  await expect(ben.getByText('Ada invited you as viewer')).toBeVisible();
  await expect(ben.getByLabel('E-mail address')).toHaveValue('ben@example.org');
  await ben.getByLabel('New password').fill(PASSWORD);
  await ben.getByRole('button', { name: 'Join' }).click();
  await expect(ben).toHaveURL(/\/models$/);
  await open(ben, '/settings/secrets');
  await expect(ben.getByText('Only deployers and admins set secrets')).toBeVisible();
  await expect(ben.getByRole('button', { name: 'Set the secret' })).toHaveCount(0);

  // A key of his own may what he may, at once also what he may newly.
  await open(ben, '/settings/keys');
  await ben.getByLabel('Name', { exact: true }).fill('laptop');
  await ben.getByLabel('May').selectOption('personal');
  await ben.getByRole('button', { name: 'Make a key' }).click();
  const key = (await ben.getByRole('region', { name: 'API key', exact: true }).innerText()).trim();
  await expect(row(ben, 'laptop')).toContainText('look at everything');
  const secret = async () =>
    (
      await fetch(`${slipway.url}/v1/secrets`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'of_ben', value: 'x' }),
      })
    ).status;
  expect(await secret()).toBe(403);
  const his = row(page, 'ben@example.org');
  await his.getByLabel('Role').selectOption('deployer');
  await his.getByRole('button', { name: 'Change' }).click();
  await expect(page.getByText('ben@example.org is deployer now.')).toBeVisible();
  expect(await secret()).toBe(200);
  await open(page, '/settings/secrets');
  await expect(row(page, 'of_ben')).toBeVisible();
  await accessible(page);
  await row(page, 'of_ben').getByText('Delete…').click();
  await row(page, 'of_ben').getByRole('button', { name: 'Delete' }).click();
  await expect(row(page, 'of_ben')).toHaveCount(0);

  // She changes her password; the old one is no more.
  await open(page, '/settings/account');
  await accessible(page);
  await page.getByLabel('Present password').fill(PASSWORD);
  await page.getByLabel('New password').fill('another good password');
  await page.getByRole('button', { name: 'Change the password' }).click();
  await expect(page.getByText('Your password is changed')).toBeVisible();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await expect(page).toHaveURL(/\/sign-in/);
  await hydrated(page);
  await page.getByLabel('E-mail address').fill('ada@example.org');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toContainText('is wrong');
  await page.getByLabel('Password').fill('another good password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page).toHaveURL(/\/models$/);

  // He is removed, and is out with his key.
  await open(page, '/settings/people');
  await row(page, 'ben@example.org').getByText('Remove…').click();
  await row(page, 'ben@example.org').getByLabel('Type the address to confirm').fill('ben@example.org');
  await row(page, 'ben@example.org').getByRole('button', { name: 'Remove' }).click();
  await expect(row(page, 'ben@example.org')).toHaveCount(0);
  expect(await secret()).toBe(401);
  await ben.goto('/models');
  await expect(ben).toHaveURL(/\/sign-in/);
  await elsewhere.close();
  await open(page, '/activity');
  await expect(page.getByText('ben@example.org was removed')).toBeVisible();
});

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });

  test('a lost password is replaced by a link', async ({ page, slipway }) => {
    await page.goto(login(slipway));
    await page.getByText('choose another one').click();
    await page.getByLabel('New password').fill('a third good password');
    await page.getByRole('button', { name: 'Change the password and sign in' }).click();
    await expect(page).toHaveURL(/\/models$/);
    await page.goto('/settings/account');
    await expect(page.getByText('You are ada@example.org, admin.')).toBeVisible();
  });
});
