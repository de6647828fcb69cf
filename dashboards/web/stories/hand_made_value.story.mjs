// A measurement made by hand reaches the page: somebody publishes a voltage over MQTT, and within two seconds the
// table "measured against estimated" shows it with its quality, its age and the estimate beside it.
//
//   BASE_URL=http://127.0.0.1:8080 MQTT_PORT=1883 node stories/hand_made_value.story.mjs [picture.png]
//
// The message is written to the broker's port byte by byte (MQTT 3.1.1, QoS 1), so that no client is needed.
// Exit code 0: seen in time.

import { connect } from 'node:net';
import { chromium } from 'playwright-core';

const BASE_URL = process.env.BASE_URL ?? 'http://127.0.0.1:8080';
const MQTT_PORT = Number(process.env.MQTT_PORT ?? 1883);
const PICTURE = process.argv[2];
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const POINT = 'bus.34.u.a';
const VISIBLE_WITHIN_MS = 2_000;
const STEP_MS = 60_000;

/** A field of MQTT: its length in two bytes, then its UTF-8. */
function field(text) {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

/** A packet: type and flags, the remaining length seven bits at a time, the rest. */
function packet(first, ...parts) {
  const rest = Buffer.concat(parts);
  const length = [];
  for (let left = rest.length; ; left >>= 7) {
    length.push((left & 127) | (left > 127 ? 128 : 0));
    if (left <= 127) break;
  }
  return Buffer.concat([Buffer.from([first, ...length]), rest]);
}

/** Publishes one message and waits for its acknowledgement. */
function publish(topic, payload) {
  return new Promise((resolve, reject) => {
    const socket = connect(MQTT_PORT, '127.0.0.1');
    const giveUp = (reason) => {
      socket.destroy();
      reject(new Error(`MQTT at port ${MQTT_PORT}: ${reason}`));
    };
    socket.setTimeout(5_000, () => giveUp('no answer'));
    socket.on('error', (error) => giveUp(error.message));
    socket.on('close', () => giveUp('connection closed'));
    socket.on('connect', () => {
      const [protocol, level, cleanSession, keepAlive] = [field('MQTT'), 4, 2, 30];
      socket.write(packet(0x10, protocol, Buffer.from([level, cleanSession, 0, keepAlive]), field('hand-made')));
    });
    socket.on('data', (bytes) => {
      if (bytes[0] === 0x20 && bytes[3] === 0) {
        const packetId = Buffer.from([0, 1]);
        socket.write(packet(0x32, field(topic), packetId, Buffer.from(payload, 'utf8')));
      } else if (bytes[0] === 0x40) {
        socket.end(packet(0xe0));
        resolve();
      } else {
        giveUp(`refused with ${bytes.toString('hex')}`);
      }
    });
  });
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
page.setDefaultTimeout(STEP_MS);
const row = page.locator(`[data-testid=point-row][data-point="${POINT}"]`);

async function cells() {
  return (await row.locator('td').allInnerTexts()).map((text) => text.trim());
}

/** Publishes a value, and how long until the page shows it, ms. */
async function shown(volts) {
  const area = (await (await fetch(`${BASE_URL}/api/v1/network`)).json()).area;
  const started = performance.now();
  await publish(`gridflex/${area}/telemetry/${POINT}`, JSON.stringify({ value: volts, unit: 'V' }));
  await row.filter({ hasText: volts.toFixed(1) }).waitFor({ timeout: VISIBLE_WITHIN_MS });
  const passed = performance.now() - started;
  if (passed > VISIBLE_WITHIN_MS) throw new Error(`${volts} V took ${passed.toFixed(0)} ms`);
  if (!(await row.isVisible())) throw new Error('the row is not visible');
  return `${volts} V after ${passed.toFixed(0)} ms`;
}

async function story() {
  await page.goto(BASE_URL);
  await page.locator('[data-testid=page][data-stale=false]').waitFor();
  await page.locator('[data-testid=chip-link][data-state=up]').waitFor();
  if ((await row.count()) !== 0) throw new Error(`${POINT} was there before anybody published it`);
  console.log(await shown(231.2));
  await row.filter({ hasText: 'measured' }).waitFor();
  // The next estimate uses it and stands beside it; a voltage of the feeder, not a dash.
  await page.waitForFunction((point) => {
    const text = document.querySelector(`[data-point="${point}"] td:nth-child(3)`)?.textContent ?? '';
    return Number(text) > 150 && Number(text) < 300;
  }, POINT);
  const [, measured, estimated, unit, deviation, quality, age] = await cells();
  console.log(`measured ${measured} ${unit}, estimated ${estimated} ${unit}, ${deviation}, ${quality}, age ${age}`);
  if (!/^\d/.test(age)) throw new Error(`the age reads ${age}`);
  if (unit !== 'V') throw new Error(`the unit reads ${unit}`);
  // A newer value replaces it just as fast, and it can be found by its name.
  console.log(await shown(229.4));
  await page.getByRole('searchbox', { name: 'Find a point' }).fill(POINT);
  if ((await page.getByTestId('point-row').count()) !== 1) throw new Error('the filter does not single it out');
}

let code = 0;
try {
  await story();
} catch (error) {
  code = 1;
  console.error(`FAILED  ${String(error.message).split('\n')[0]}`);
}
if (PICTURE !== undefined) await page.screenshot({ path: PICTURE });
await browser.close();
process.exit(code);
