import { done } from '../support/canary.ts';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, hydrated, open, signIn, test } from '../support/test.ts';

// What records a test takes the processor that is measured, and keeps what the page does.
test.use({ trace: 'off', screenshot: 'off' });

/** From the beginning of the navigation to a page that answers to clicks, with a processor four times slower, in milliseconds. */
const INTERACTIVE = 800;
const SLOWER = 4;
const ROUNDS = 5;
/** What an open page may keep more after an hour's changes, in MiB, of JavaScript's heap and of WASM's memory. */
const GROWTH = 2;
/** An hour's changes, one a second, in bundles as they come. */
const CHANGES = 3_600;

test('dashboard: a page is soon interactive on a slow machine', async ({ browser, page, slipway, truss }) => {
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('bench-dashboard'));
  // Its build takes the processor, too.
  await slipway.reaches(model, deployment, 'ACTIVE');
  await signIn(page, slipway);
  const state = await page.context().storageState();
  for (const address of ['/models', `/models/${model}`]) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      // Each time as for the first time: no cache.
      const context = await browser.newContext({ storageState: state });
      const fresh = await context.newPage();
      const session = await context.newCDPSession(fresh);
      await session.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });
      await fresh.addInitScript(() => {
        const watch = new MutationObserver(() => {
          if (document.documentElement.dataset.hydrated === 'true') {
            (window as any).interactive ??= performance.now();
          }
        });
        watch.observe(document, { attributes: true, subtree: true, attributeFilter: ['data-hydrated'] });
      });
      await fresh.goto(slipway.url + address);
      await hydrated(fresh);
      times.push(await fresh.evaluate(() => (window as any).interactive));
      await context.close();
    }
    const median = times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
    console.log(`dashboard: ${address.replace(model, '…')}: interactive after ${median.toFixed(0)} ms (bound ${INTERACTIVE})`);
    expect.soft(median).toBeLessThanOrEqual(INTERACTIVE);
  }
});

test('dashboard: a page that was open for an hour keeps nothing of it', async ({ page, slipway, truss }) => {
  test.setTimeout(900_000);
  const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('bench-heap'));
  await slipway.reaches(model, deployment, 'ACTIVE');
  await signIn(page, slipway);
  await open(page, `${slipway.url}/models/${model}`);
  const session = await page.context().newCDPSession(page);
  const used = async () => {
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await session.send('Runtime.getHeapUsage');
    const wasm = await page.evaluate(async () => {
      const script = document.querySelector<HTMLLinkElement>('link[rel=modulepreload][href*="/pkg/"][href$=".js"]');
      const exports = await (await import(script!.href)).default();
      return (exports.memory as WebAssembly.Memory).buffer.byteLength;
    });
    return { heap: usedSize / 2 ** 20, wasm: wasm / 2 ** 20 };
  };
  let read = 0;
  page.on('request', (request) => (read += Number(request.url().includes('/api/ui/'))));
  const change = async (count: number) => {
    // The page reads at most ten times a second, so as many changes as it can tell apart.
    for (let number = 0; number < count; number += 1) {
      const body = { max_replica: 2 + (number % 2) };
      await done(slipway.rest('PATCH', `/v1/models/${model}/deployments/${deployment}/autoscaling_settings`, body));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  // What is kept once is no leak.
  await change(200);
  const before = await used();
  await change(CHANGES);
  const after = await used();
  console.log(
    `dashboard: ${CHANGES} changes, ${read} readings: heap ${before.heap.toFixed(1)} → ${after.heap.toFixed(1)} MiB, ` +
      `WASM ${before.wasm.toFixed(1)} → ${after.wasm.toFixed(1)} MiB (bound ${GROWTH} more)`,
  );
  expect(read).toBeGreaterThan(CHANGES / 4);
  expect(after.heap - before.heap).toBeLessThanOrEqual(GROWTH);
  expect(after.wasm - before.wasm).toBeLessThanOrEqual(GROWTH);
});
