import { defineConfig } from '@playwright/test';

// One server at a time: the truss client knows only http://localhost:8000.
export default defineConfig({
  testDir: '.',
  workers: 1,
  fullyParallel: false,
  retries: 0,
  forbidOnly: !!process.env.CI,
  timeout: 120_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  outputDir: 'test-results',
  use: {
    baseURL: 'http://localhost:8000',
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    },
  },
  projects: [
    { name: 'browser', testMatch: 'browser/**/*.spec.ts' },
    { name: 'truss', testMatch: 'cli/**/*.spec.ts' },
    { name: 'bench', testMatch: 'bench/**/*.spec.ts' },
    { name: 'pictures', testMatch: 'pictures/**/*.spec.ts' },
  ],
});
