import AxeBuilder from '@axe-core/playwright';
import { EXAMPLES, unique } from '../support/truss.ts';
import { expect, open, signIn, test } from '../support/test.ts';

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

test.describe('every page is accessible', () => {
  let model: string;
  let deployment: string;

  test.beforeAll(async ({ slipway, truss }) => {
    ({ model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('access')));
    await slipway.reaches(model, deployment, 'ACTIVE', 'SCALED_TO_ZERO');
  });

  for (const scheme of ['light', 'dark'] as const) {
    test(`in the ${scheme} theme`, async ({ page, slipway }) => {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await open(page, '/sign-in');
      const found: string[] = [];
      const look = async (address: string) => {
        const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
        for (const violation of violations) {
          found.push(`${address}: ${violation.id} at ${violation.nodes.map((node) => node.target.join(' ')).join(', ')}`);
        }
      };
      await look('/sign-in');
      await signIn(page, slipway);
      for (const address of [
        '/models',
        `/models/${model}`,
        `/models/${model}?dialog=promote&deployment=${deployment}`,
        `/models/${model}?dialog=delete&deployment=${deployment}`,
        `/models/${model}/environments/production`,
        `/models/${model}?dialog=new-environment`,
        `/models/${model}/environments/production?dialog=deactivate`,
        `/models/${model}/environments/production?dialog=delete-environment`,
        `/models/${model}/deployments/${deployment}`,
        `/models/${model}/deployments/${deployment}?dialog=terminate&replica=any`,
        `/models/${model}/deployments/${deployment}/metrics`,
        `/models/${model}/environments/production/metrics`,
        `/models/${model}/environments/production/logs`,
        '/usage',
        '/settings/people',
        '/settings/keys',
        '/settings/secrets',
        '/settings/account',
        '/activity',
        '/reference',
        '/activity?who=nobody',
        `/models/${model}/activity`,
        '/models/no-such-model',
      ]) {
        await open(page, address);
        await look(address);
      }
      expect(found).toEqual([]);
    });
  }
});

test.describe('without JavaScript', () => {
  test.use({ javaScriptEnabled: false });

  test('the menu of a row is a link to the page that has the same actions', async ({ page, slipway, truss }) => {
    const { model, deployment } = await truss.push(`${EXAMPLES}/echo`, '--model-name', unique('plain'));
    await slipway.reaches(model, deployment, 'ACTIVE', 'SCALED_TO_ZERO');
    await page.goto('/sign-in');
    await page.getByLabel('API key').fill(slipway.key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page).toHaveURL(/\/models$/);

    await page.goto(`/models/${model}`);
    await page.getByRole('link', { name: 'Actions for deployment-1', exact: true }).click();
    await expect(page).toHaveURL(new RegExp(`/models/${model}/deployments/${deployment}$`));
    await page.getByRole('button', { name: 'Actions for deployment-1', exact: true }).click();
    const menu = page.getByRole('list', { name: 'Actions for deployment-1', exact: true });
    for (const action of ['Rename', 'Retry', 'Activate', 'Deactivate', 'Delete']) {
      await expect(menu.getByRole('button', { name: action, exact: true })).toBeVisible();
    }
    await menu.getByRole('button', { name: 'Rename', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('without-code');
    await dialog.getByRole('button', { name: 'Rename' }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('without-code');
  });

  test('one can sign in, rename and promote', async ({ page, slipway, truss }) => {
    const name = unique('plain');
    const first = await truss.push(`${EXAMPLES}/echo`, '--model-name', name);
    await slipway.reaches(first.model, first.deployment, 'ACTIVE');
    const second = await truss.push(`${EXAMPLES}/echo`, '--model-name', name);
    await slipway.reaches(first.model, second.deployment, 'ACTIVE', 'SCALED_TO_ZERO');

    await page.goto('/sign-in');
    await page.getByLabel('API key').fill(slipway.key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page).toHaveURL(/\/models$/);

    await page.goto(`/models/${first.model}?dialog=rename&deployment=${second.deployment}`);
    await page.getByRole('dialog').getByLabel('Name').fill('plain-html');
    await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
    await page.goto(`/models/${first.model}`);
    await expect(page.getByRole('row', { name: 'plain-html', exact: true })).toBeVisible();

    await page.goto(`/models/${first.model}?dialog=new-environment`);
    await page.getByRole('dialog').getByLabel('Name').fill('plain');
    await page.getByRole('dialog').getByRole('button', { name: 'Create environment' }).click();
    await page.goto(`/models/${first.model}/environments/plain`);
    await page.getByLabel('Max replicas').fill('5');
    await page.getByRole('button', { name: 'Update' }).click();
    await expect
      .poll(async () => (await slipway.rest('GET', `/v1/models/${first.model}/environments/plain`)).body.autoscaling_settings.max_replica)
      .toBe(5);
    await page.goto(`/models/${first.model}/environments/plain?dialog=delete-environment`);
    await page.getByLabel('Type the name to confirm').fill('plain');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await expect(page).toHaveURL(new RegExp(`/models/${first.model}$`));

    await page.goto(`/models/${first.model}?dialog=promote&deployment=${second.deployment}&environment=production`);
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Strategy').selectOption('direct');
    await dialog.locator('button[type=submit]').last().click();
    await expect
      .poll(async () => {
        const listed = await slipway.deployments(first.model);
        return listed.find((deployment) => deployment.is_production)?.id;
      })
      .toBe(second.deployment);
  });
});
