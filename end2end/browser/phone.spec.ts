import { expect, open, signIn, test } from '../support/test.ts';

test.describe('on a phone', () => {
  test('the header has room for the name, the connection and the way out, however it stands', async ({ page, slipway }) => {
    await page.setViewportSize({ width: 390, height: 844 });
    await signIn(page, slipway);
    await open(page, '/models');
    const signOut = page.getByRole('button', { name: 'Sign out' });
    await expect(signOut).toBeVisible();
    for (const standing of [
      { state: 'opening', words: 'Connecting' },
      { state: 'connected', words: 'Live' },
      { state: 'lost', words: 'Reconnecting for 12 min 10 s' },
    ]) {
      const room = await page.evaluate(({ state, words }) => {
        const live = document.querySelector<HTMLElement>('.live')!;
        live.dataset.state = state;
        live.querySelector('span')!.textContent = words;
        const boxes = (of: string) =>
          Array.from(document.querySelectorAll(of), (part) => part.getBoundingClientRect()).filter((box) => box.width > 0);
        const name = Math.max(...boxes('.brand > *').map((box) => box.right));
        const rest = Math.min(...boxes('.rail .foot > *').map((box) => box.left));
        return rest - name;
      }, standing);
      expect(room, `pixels between the name and the rest, ${standing.state}`).toBeGreaterThanOrEqual(0);
      await expect(signOut).toBeInViewport({ ratio: 1 });
    }
  });
});
