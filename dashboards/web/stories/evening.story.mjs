// The evening as a person sees it: an overload is announced, the grid operator asks, the market answers, devices
// are told, and when the hour comes the transformer carries less than its rating where it would have carried more.
// Run against any gridflex with an evening's peak ahead:
//
//   BASE_URL=http://127.0.0.1:8080 node stories/evening.story.mjs [picture.png]
//
// STEP_SECONDS is how long each step may take in real time (default 180). Exit code 0: all seen.

import { chromium } from 'playwright-core';

const BASE_URL = process.env.BASE_URL ?? 'http://127.0.0.1:8080';
const STEP_MS = Number(process.env.STEP_SECONDS ?? 180) * 1000;
const PICTURE = process.argv[2];
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
/** The load must be lower by at least this much of the rating to count as relief. */
const RELIEF_MIN = 0.1;

const started = Date.now();
const faults = [];
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
page.on('pageerror', (error) => faults.push(`script error: ${error.message}`));
page.on('console', (message) => {
  if (message.type() === 'error') faults.push(`console: ${message.text()}`);
});
page.setDefaultTimeout(STEP_MS);

const seen = (testId) => page.getByTestId(testId);
const number = async (testId, name) => {
  const text = await seen(testId).getAttribute(name);
  return text === null || text === '' ? null : Number(text);
};

async function step(name, action) {
  try {
    const found = await action();
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    console.log(`${seconds.padStart(7)} s  ${name}${found === undefined ? '' : `: ${found}`}`);
  } catch (error) {
    throw new Error(`${name}: not seen within ${STEP_MS / 1000} s (${String(error.message).split('\n')[0]})`);
  }
}

/** Repeats a look at the page until it answers something, at most for one step's time. */
async function until(look) {
  const end = Date.now() + STEP_MS;
  for (;;) {
    const answer = await look();
    if (answer !== null) return answer;
    if (Date.now() > end) throw new Error('time is over');
    await page.waitForTimeout(250);
  }
}

async function story() {
  await step('the page opens with live data', async () => {
    await page.goto(BASE_URL);
    await page.locator('[data-testid=page][data-stale=false]').waitFor();
    return seen('clock-now').textContent();
  });
  await step('the telemetry link is up', () => page.locator('[data-testid=chip-link][data-state=up]').waitFor());
  await step('the transformer has an estimate', () =>
    until(async () => {
      const loading = await number('transformer-loading', 'data-loading');
      return loading === null ? null : `${(loading * 100).toFixed(1)} %`;
    }));
  await step('a congestion is announced in words', async () => {
    const peak = page.locator('[data-testid=outlook-peak]:is([data-state=congested], [data-state=possible])');
    await peak.waitFor();
    await peak.getByRole('status').filter({ hasText: /congestion (expected|possible)/ }).waitFor();
    await until(async () => (((await number('outlook-peak', 'data-without')) ?? 0) > 1 ? true : null));
    return (await peak.innerText()).replaceAll(/\s+/g, ' ');
  });
  await step('the grid operator asks', async () => {
    await seen('need-row').first().waitFor();
    return (await seen('need-row').first().innerText()).replaceAll(/\s+/g, ' ');
  });
  await step('the market answers', async () => {
    const answer = page.locator('[data-testid=feed-row]:is([data-kind=clearing], [data-kind=contract])').first();
    await answer.waitFor();
    return (await answer.innerText()).replaceAll(/\s+/g, ' ');
  });
  await step('a contract is counted', () =>
    until(async () => (await number('total-contracts', 'data-value')) || null));
  await step('a device is told', () =>
    until(async () => (await number('total-activations', 'data-value')) || null));
  await step('the expected peak is lower than without flexibility', () =>
    until(async () => {
      const expected = await number('outlook-peak', 'data-p50');
      const without = await number('outlook-peak', 'data-without');
      if (expected === null || without === null || expected > without - RELIEF_MIN / 10) return null;
      return `${(expected * 100).toFixed(1)} % instead of ${(without * 100).toFixed(1)} %`;
    }));
  await step('in the evening the load is below the rating where it would have been above', () =>
    until(async () => {
      const loading = await number('transformer-loading', 'data-loading');
      const without = await number('transformer-without', 'data-loading');
      if (loading === null || without === null || without <= 1.1 || loading > Math.min(1, without - RELIEF_MIN)) return null;
      return `${(loading * 100).toFixed(1)} % instead of ${(without * 100).toFixed(1)} % at ${await seen('clock-now').textContent()}`;
    }));
  await step('what was ordered is delivered and paid', () =>
    until(async () => (await number('total-settled', 'data-value')) || null));
  if (PICTURE !== undefined) await page.screenshot({ path: PICTURE });
  await step('the page is not stale and had no script errors', async () => {
    if ((await seen('page').getAttribute('data-stale')) !== 'false') throw new Error('the page is stale');
    if (faults.length > 0) throw new Error(faults.join('; '));
  });
  await step('help opens and closes by keyboard', async () => {
    await page.keyboard.press('?');
    await seen('help').waitFor({ state: 'visible' });
    await page.keyboard.press('Escape');
    await seen('help').waitFor({ state: 'hidden' });
  });
}

let code = 0;
try {
  await story();
} catch (error) {
  code = 1;
  console.error(`FAILED  ${error.message}`);
  for (const fault of faults) console.error(`        ${fault}`);
}
if (PICTURE !== undefined && code !== 0) await page.screenshot({ path: PICTURE });
await browser.close();
process.exit(code);
