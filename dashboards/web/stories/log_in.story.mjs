// Where there are accounts, the page asks who you are, says when the password is wrong, and shows the grid to an operator.
// Who logs out sees the log-in page again.
//
//   BASE_URL=http://127.0.0.1:8080 STORY_PASSWORD=… node stories/log_in.story.mjs [picture.png]
//
// accounts: ada operator

import { chromium } from 'playwright-core';

const BASE_URL = process.env.BASE_URL ?? 'http://127.0.0.1:8080';
const PASSWORD = process.env.STORY_PASSWORD;
const PICTURE = process.argv[2];
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];

const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const page = await browser.newPage({ viewport: { width: 1000, height: 600 } });
page.setDefaultTimeout(30_000);
const scriptErrors = [];
page.on('pageerror', (error) => scriptErrors.push(error.message));

async function story() {
  await page.goto(BASE_URL);
  if (!page.url().endsWith('/login')) throw new Error(`the page is ${page.url()}, not the log-in page`);
  await page.getByLabel('Name').fill('ada');
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').filter({ hasText: 'Name or password is wrong.' }).waitFor();
  if (PICTURE !== undefined) await page.screenshot({ path: PICTURE });
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('[data-testid=page][data-stale=false]').waitFor();
  const cookie = (await page.context().cookies()).find(({ name }) => name === 'gridflex_session');
  if (!cookie?.httpOnly || cookie.sameSite !== 'Strict') throw new Error(`the cookie is ${JSON.stringify(cookie)}`);
  // An operator looks and does not trade.
  const refused = await page.evaluate(() =>
    fetch('/api/v1/flexoffers', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })
      .then((answer) => answer.status),
  );
  if (refused !== 403) throw new Error(`an operator's offer was answered with ${refused}`);
  await page.evaluate(() => fetch('/api/v1/session', { method: 'DELETE' }));
  await page.reload();
  await page.waitForURL('**/login');
  if (scriptErrors.length > 0) throw new Error(scriptErrors.join('; '));
  console.log('asked, refused, let in, kept from trading, and out again');
}

let code = 0;
try {
  await story();
} catch (error) {
  code = 1;
  console.error(`FAILED  ${String(error.message).split('\n')[0]}`);
}
await browser.close();
process.exit(code);
