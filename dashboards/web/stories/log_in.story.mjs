// Where there are accounts, the page asks who you are, says when the password is wrong, and shows the grid to an operator.
// Who logs out sees the log-in page again. Given a second factor, the operator is asked for the code that the app shows, too.
//
//   BASE_URL=http://127.0.0.1:8080 STORY_PASSWORD=… ACCOUNTS=access.json GRIDFLEX_BIN=gridflex \
//     node stories/log_in.story.mjs [picture.png]
//
// accounts: ada operator

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
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

// What an app shows at an instant, in ms (RFC 6238); the secret is base 32.
function code(secret, at) {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac('sha1', key).update(step).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

// The operator's app reads what the command shows; its secret.
async function enrolled() {
  const command = spawn(process.env.GRIDFLEX_BIN, ['access', 'second-factor', 'ada', '--file', process.env.ACCOUNTS]);
  const lines = createInterface({ input: command.stdout })[Symbol.asyncIterator]();
  const { value: address } = await lines.next();
  const secret = new URL(address).searchParams.get('secret');
  command.stdin.end(`${code(secret, Date.now())}\n`);
  const status = await new Promise((resolve) => command.on('close', resolve));
  if (status !== 0) throw new Error(`the command for a second factor ended with ${status}`);
  return secret;
}

async function withCode() {
  const secret = await enrolled();
  await page.getByLabel('Name').fill('ada');
  await page.getByLabel('Password').fill(PASSWORD);
  if (await page.getByLabel('Code that your app shows').isVisible()) throw new Error('a code is asked for before anything is known');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').filter({ hasText: 'The code that your app shows now is needed, too.' }).waitFor();
  const field = page.getByLabel('Code that your app shows');
  await field.fill('12345');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').filter({ hasText: 'The code is wrong; mind the clock of the telephone.' }).waitFor();
  if (PICTURE !== undefined) await page.screenshot({ path: PICTURE });
  const shown = code(secret, Date.now());
  await field.fill(`${shown.slice(0, 3)} ${shown.slice(3)}`);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('[data-testid=page][data-stale=false]').waitFor();
}

async function story() {
  await page.goto(BASE_URL);
  if (!page.url().endsWith('/login')) throw new Error(`the page is ${page.url()}, not the log-in page`);
  await page.getByLabel('Name').fill('ada');
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').filter({ hasText: 'Name or password is wrong.' }).waitFor();
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
  await withCode();
  if (scriptErrors.length > 0) throw new Error(scriptErrors.join('; '));
  console.log('asked, refused, let in, kept from trading, out again, and in again with a code');
}

let status = 0;
try {
  await story();
} catch (error) {
  status = 1;
  console.error(`FAILED  ${String(error.message).split('\n')[0]}`);
}
await browser.close();
process.exit(status);
