import { printing, unique } from '../support/truss.ts';
import { expect, open, signIn, test } from '../support/test.ts';

/** From a line's writing in the model's process to its drawing in the page, in milliseconds. */
const BOUND = 300;
const LINES = 100;
/** A frame while a hundred thousand lines scroll, at the 95th of a hundred. */
const FRAME = 34;
const MANY = 100_000;

const at = (sorted: number[], share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;

test('logs: a line from the process to the page, and a hundred thousand that scroll', async ({ page, slipway, truss }) => {
  test.setTimeout(300_000);
  const { model, deployment } = await truss.push(await printing(), '--model-name', unique('bench-logs'));
  await slipway.reaches(model, deployment, 'ACTIVE');
  const write = async (input: object) => {
    const answer = await slipway.predict(`/model/${model}/deployment/${deployment}/predict`, { word: 'x', lines: 0, ...input });
    expect(answer.status).toBe(200);
  };
  await signIn(page, slipway);
  await open(page, `/models/${model}/deployments/${deployment}`);
  const log = page.getByRole('log', { name: 'Log lines' });
  await log.evaluate((view) => {
    const took: number[] = [];
    Object.assign(window, { took });
    const watch = new MutationObserver((changes) => {
      for (const node of changes.flatMap((change) => [...change.addedNodes])) {
        const written = /clock ([\d.]+)/.exec(node.textContent ?? '');
        // The frame after the line is in the page is the one that shows it.
        if (written) requestAnimationFrame(() => took.push(Date.now() - Number(written[1])));
      }
    });
    watch.observe(view, { childList: true, subtree: true });
  });
  for (let line = 0; line < LINES; line += 1) {
    await write({ clock: true });
    // At no fixed distance from the server's own looks at the file.
    await page.waitForTimeout(40 + Math.random() * 120);
  }
  await expect.poll(() => page.evaluate(() => (window as unknown as { took: number[] }).took.length)).toBe(LINES);
  const took = (await page.evaluate(() => (window as unknown as { took: number[] }).took)).sort((a, b) => a - b);
  console.log(`logs: written to drawn: median ${at(took, 0.5).toFixed(0)} ms, slowest of ${LINES} ${at(took, 1).toFixed(0)} ms (bound ${BOUND})`);

  const began = Date.now();
  await write({ word: 'many', lines: MANY });
  await expect(log.getByText(`many ${MANY - 1}`)).toBeVisible({ timeout: 120_000 });
  console.log(`logs: ${MANY} lines at once are there after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  await log.evaluate((view) => (view.scrollTop = 0));
  const frames = await log.evaluate(async (view) => {
    const times: number[] = [];
    let last = performance.now();
    for (let frame = 0; frame < 300; frame += 1) {
      view.scrollTop += 900;
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    return times.sort((a, b) => a - b);
  });
  const drawn = await log.locator('.line').count();
  console.log(`logs: scrolling: a frame takes ${at(frames, 0.5).toFixed(1)} ms, 95th ${at(frames, 0.95).toFixed(1)} ms (bound ${FRAME}); ${drawn} lines in the page`);
  expect(at(took, 1)).toBeLessThanOrEqual(BOUND);
  expect(at(frames, 0.95)).toBeLessThanOrEqual(FRAME);
});
