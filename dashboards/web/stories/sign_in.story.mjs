// Somebody signs in at the OpenID provider of the site, whose pages are those of a program that we did not write, sees the grid, and
// logs out at both. Somebody of whom the site does not know a group is told so.
//
//   BASE_URL=http://127.0.0.1:8080 node stories/sign_in.story.mjs [picture.png]
//
// provider: ada control-room

import { chromium } from 'playwright-core';

const BASE_URL = process.env.BASE_URL ?? 'http://127.0.0.1:8080';
const PICTURE = process.argv[2];
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];

const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const scriptErrors = [];

async function signIn(name) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 600 } });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on('pageerror', (error) => scriptErrors.push(error.message));
  await page.goto(BASE_URL);
  await page.waitForURL('**/login');
  await page.getByLabel('Name').waitFor();
  if (PICTURE !== undefined && name === 'ada') await page.screenshot({ path: PICTURE });
  await page.getByRole('link', { name: 'Sign in with Stadtwerke' }).click();
  await page.getByPlaceholder('Enter any login').fill(name);
  await page.getByPlaceholder('and password').fill('x');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  return page;
}

async function story() {
  const page = await signIn('ada');
  // The way from the provider ends at the grid, with a cookie that other sites cannot use.
  await page.getByTitle('Logged in as ada').waitFor();
  if (page.url() !== `${BASE_URL}/`) throw new Error(`the page is ${page.url()}`);
  const cookies = await page.context().cookies();
  const ours = cookies.find(({ name }) => name === 'gridflex_session');
  if (!ours?.httpOnly || ours.sameSite !== 'Strict') throw new Error(`the cookie is ${JSON.stringify(ours)}`);
  if (cookies.some(({ name }) => name === 'gridflex_sign_in')) throw new Error('the cookie of the sign-in is left');
  await page.getByTitle('Logged in as ada').click();
  await page.getByText('Logged in as ada.').waitFor();
  if (PICTURE !== undefined) await page.screenshot({ path: PICTURE.replace('.png', '_in.png') });
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('button', { name: 'Yes, sign me out' }).click();
  await page.waitForURL(`${BASE_URL}/login`);
  const left = await page.evaluate(() => fetch('/api/v1/session').then((answer) => answer.status));
  if (left !== 401) throw new Error(`after logging out the session answers ${left}`);
  const stranger = await signIn('grace');
  await stranger.getByRole('alert').filter({ hasText: 'none of your groups has a role here' }).waitFor();
  if (PICTURE !== undefined) await stranger.screenshot({ path: PICTURE.replace('.png', '_refused.png') });
  await stranger.getByRole('link', { name: 'Back to the log-in page' }).click();
  await stranger.waitForURL('**/login');
  if (scriptErrors.length > 0) throw new Error(scriptErrors.join('; '));
  console.log('signed in elsewhere, saw the grid, logged out at both; a stranger was told why not');
}

let code = 0;
try {
  await story();
} catch (error) {
  code = 1;
  console.error(`FAILED  ${String(error.message).split('\n').slice(0, 4).join(' ')}`);
}
await browser.close();
process.exit(code);
