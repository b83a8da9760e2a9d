import { expect, open, signIn, test } from '../support/test.ts';

test.describe('on a phone', () => {
  test('the header has room for the name, the connection and the way out, however it stands', async ({ page, slipway }) => {
    await page.setViewportSize({ width: 390, height: 844 });
    await signIn(page, slipway);
    await open(page, '/models');
    const signOut = page.getByRole('button', { name: 'Sign out' });
    await expect(signOut).toBeVisible();
    for (const [state, words] of [
      ['opening', 'Connecting'],
      ['connected', 'Live'],
      ['lost', 'Reconnecting for 12 min 10 s'],
    ]) {
      const room = await page.evaluate(
        ([state, words]) => {
          const live = document.querySelector<HTMLElement>('.live')!;
          live.dataset.state = state;
          live.querySelector('span')!.textContent = words;
          const name = document.querySelector('.brand')!;
          const parts = [...name.children].map((part) => part.getBoundingClientRect().right);
          const foot = document.querySelector('.rail .foot')!.children;
          const begins = [...foot].map((part) => part.getBoundingClientRect()).filter((part) => part.width > 0);
          return Math.min(...begins.map((part) => part.left)) - Math.max(...parts);
        },
        [state, words],
      );
      expect(room, `pixels between the name and the rest, ${state}`).toBeGreaterThanOrEqual(0);
      await expect(signOut).toBeInViewport({ ratio: 1 });
    }
  });
});
