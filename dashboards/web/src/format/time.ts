import { NOT_KNOWN } from './quantity';

// Times come as UTC text and are shown in the zone of the grid, not of the browser.

const formats = new Map<string, Intl.DateTimeFormat>();

function format(zone: string, seconds: boolean, day: boolean): Intl.DateTimeFormat {
  const key = `${zone} ${seconds} ${day}`;
  const known = formats.get(key);
  if (known !== undefined) return known;
  const options: Intl.DateTimeFormatOptions = { hourCycle: 'h23', hour: '2-digit', minute: '2-digit' };
  if (seconds) options.second = '2-digit';
  if (day) Object.assign(options, { weekday: 'short', day: '2-digit', month: 'short', year: 'numeric' });
  const made = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: validZone(zone) });
  formats.set(key, made);
  return made;
}

/** The zone, or UTC when the browser does not know it. */
export function validZone(zone: string): string {
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: zone });
    return zone;
  } catch {
    return 'UTC';
  }
}

/** Milliseconds since the epoch; null for a time that is not known or not readable. */
export function millis(at: string | null | undefined): number | null {
  if (at === null || at === undefined) return null;
  const value = Date.parse(at);
  return Number.isNaN(value) ? null : value;
}

/** 18:15 in the given zone. */
export function clock(at: string | null, zone: string): string {
  const value = millis(at);
  return value === null ? NOT_KNOWN : format(zone, false, false).format(value);
}

/** 18:15:07 in the given zone. */
export function clockSeconds(at: string | null, zone: string): string {
  const value = millis(at);
  return value === null ? NOT_KNOWN : format(zone, true, false).format(value);
}

/** Thu, 15 Jan 2026 in the given zone. */
export function date(at: string | null, zone: string): string {
  const value = millis(at);
  if (value === null) return NOT_KNOWN;
  const parts = format(zone, false, true).formatToParts(value);
  const part = (type: string) => parts.find((p) => p.type === type)?.value ?? '';
  return `${part('weekday')} ${part('day')} ${part('month')} ${part('year')}`;
}

/** 18:15 today, "tomorrow 18:15", or with its date, as seen from `now`. */
export function clockOnDay(at: string | null, now: string, zone: string): string {
  const day = dayWord(at, now, zone);
  return day === 'today' || day === NOT_KNOWN ? clock(at, zone) : `${day} ${clock(at, zone)}`;
}

/** "today", "tomorrow" or a date like Sat 17 Jan. */
export function dayWord(at: string | null, now: string, zone: string): string {
  const here = millis(now);
  if (here === null || millis(at) === null) return NOT_KNOWN;
  const day = date(at, zone);
  if (day === date(now, zone)) return 'today';
  // The first other date within the next day and a half is tomorrow's, also when the clocks change.
  const coming = [12, 24, 36].map((hours) => date(new Date(here + hours * 3_600_000).toISOString(), zone));
  return coming.find((other) => other !== date(now, zone)) === day ? 'tomorrow' : day.slice(0, -5);
}

/** A sentence from the system with the UTC instants in it told in local time. */
export function localised(text: string, now: string, zone: string): string {
  return text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z/g, (at) => clockOnDay(at, now, zone));
}

/** The local midnights in a span, as seconds since the epoch. */
export function midnights(from: number, to: number, zone: string): number[] {
  const found: number[] = [];
  const local = (seconds: number) => date(new Date(seconds * 1000).toISOString(), zone);
  for (let at = Math.ceil(from / 900) * 900; at <= to; at += 900) if (local(at) !== local(at - 900)) found.push(at);
  return found;
}

/** Seconds from `at` to `now`, both in the system's time; null when not known. */
export function ageSeconds(at: string | null, now: string): number | null {
  const [from, to] = [millis(at), millis(now)];
  return from === null || to === null ? null : (to - from) / 1000;
}

/** An age for people: 7 s, 4 min, 2 h 05, 3 d. */
export function age(seconds: number | null): string {
  if (seconds === null) return NOT_KNOWN;
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')}`;
  return `${Math.floor(hours / 24)} d`;
}
