import { test as base, expect, type Locator, type Page } from '@playwright/test';
import { Slipway } from './slipway.ts';
import { Truss } from './truss.ts';

/** What every spec works with: one server and one client for all of them, and a page whose console stays silent. */
export const test = base.extend<{ page: Page }, { settings: Record<string, string>; slipway: Slipway; truss: Truss }>({
  // A spec with settings of its own gets a server of its own.
  settings: [{}, { scope: 'worker', option: true }],
  slipway: [
    async ({ settings }, use) => {
      const slipway = await Slipway.start(settings);
      await use(slipway);
      await slipway.down();
    },
    { scope: 'worker', timeout: 60_000 },
  ],
  truss: [
    async ({ slipway }, use) => {
      await use(await Truss.signedIn(slipway));
    },
    { scope: 'worker' },
  ],
  page: async ({ page, slipway }, use, info) => {
    const complaints: string[] = [];
    page.on('console', (message) => {
      // A browser reports each refused request by itself; a refusal is the server's answer, not the page's mistake.
      const refused = message.text().startsWith('Failed to load resource');
      if (['error', 'warning'].includes(message.type()) && !refused) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await use(page);
    if (info.status !== info.expectedStatus) {
      await info.attach('server', { body: slipway.printed, contentType: 'text/plain' });
    }
    expect(complaints, 'errors and warnings in the console').toEqual([]);
  },
});

export { expect };

/** Opens a page and waits until it can be used. */
export async function open(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await hydrated(page);
}

/** Waits until the page's code runs. */
export async function hydrated(page: Page): Promise<void> {
  await expect(page.locator('html')).toHaveAttribute('data-hydrated', 'true');
}

/** Signs in with a key, the admin's if it is the server's own, as somebody would who pastes it. */
export async function signIn(page: Page, who: { key: string }): Promise<void> {
  await open(page, '/sign-in');
  await page.getByLabel('API key').fill(who.key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page).toHaveURL(/\/models$/);
  await hydrated(page);
}

/** The row of a deployment, or of a model, in its list. */
export function row(page: Page, name: string) {
  return page.getByRole('row', { name, exact: true });
}

/** The word of a status as the page shows it. */
export function status(within: Locator, word: string) {
  return within.getByText(word, { exact: true }).first();
}

/** Opens a deployment's menu and chooses an action. */
export async function choose(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${name}`, exact: true }).click();
  await page.getByRole('list', { name: `Actions for ${name}`, exact: true }).getByRole('button', { name: action, exact: true }).click();
}
