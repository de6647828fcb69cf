import { describe, expect, it } from 'vitest';
import { NOT_KNOWN } from './quantity';
import { age, ageSeconds, clock, clockOnDay, clockSeconds, date, localised, midnights, validZone } from './time';

describe('time', () => {
  it('is shown in the zone of the grid', () => {
    expect(clock('2026-01-15T17:30:00Z', 'Europe/Berlin')).toBe('18:30');
    expect(clockSeconds('2026-07-15T17:30:07.250Z', 'Europe/Berlin')).toBe('19:30:07');
    expect(clockSeconds('2026-01-15T17:30:07Z', 'UTC')).toBe('17:30:07');
    expect(clock('2026-01-15T23:00:00Z', 'Europe/Berlin')).toBe('00:00');
    expect(date('2026-01-15T23:30:00Z', 'Europe/Berlin')).toBe('Fri 16 Jan 2026');
  });
  it('the repeated hour in autumn is shown twice', () => {
    expect(clock('2026-10-25T00:30:00Z', 'Europe/Berlin')).toBe('02:30');
    expect(clock('2026-10-25T01:30:00Z', 'Europe/Berlin')).toBe('02:30');
  });
  it('an unknown zone falls back to UTC and an unreadable time to a dash', () => {
    expect(validZone('Mars/Olympus')).toBe('UTC');
    expect(clock('2026-01-15T17:30:00Z', 'Mars/Olympus')).toBe('17:30');
    expect(clock(null, 'UTC')).toBe(NOT_KNOWN);
    expect(clock('yesterday', 'UTC')).toBe(NOT_KNOWN);
  });
  it('an age grows coarser and never negative', () => {
    expect([0, 119, 120, 7199, 7500, 172800, -5].map(age)).toEqual([
      '0 s', '119 s', '2 min', '119 min', '2 h 05', '2 d', '0 s',
    ]);
    expect(age(ageSeconds(null, '2026-01-15T17:30:00Z'))).toBe(NOT_KNOWN);
    expect(ageSeconds('2026-01-15T17:29:30Z', '2026-01-15T17:30:00Z')).toBe(30);
  });
  it('another day is named', () => {
    const now = '2026-01-15T19:00:00Z';
    expect(clockOnDay('2026-01-15T19:15:00Z', now, 'Europe/London')).toBe('19:15');
    expect(clockOnDay('2026-01-16T18:45:00Z', now, 'Europe/London')).toBe('tomorrow 18:45');
    expect(clockOnDay('2026-01-17T18:45:00Z', now, 'Europe/London')).toBe('Sat 17 Jan 18:45');
    expect(clockOnDay('2026-01-14T18:45:00Z', now, 'Europe/London')).toBe('Wed 14 Jan 18:45');
    expect(clockOnDay('2026-01-15T23:30:00Z', now, 'Europe/Berlin')).toBe('tomorrow 00:30');
    expect(clockOnDay('2026-10-25T23:30:00Z', '2026-10-24T22:30:00Z', 'Europe/Berlin')).toBe('tomorrow 00:30');
    expect(clockOnDay('2026-10-26T22:30:00Z', '2026-10-24T22:30:00Z', 'Europe/Berlin')).toBe('tomorrow 23:30');
    expect(clockOnDay(null, now, 'UTC')).toBe(NOT_KNOWN);
  });
  it('a sentence tells its instants in local time', () => {
    expect(localised('start at 2026-01-15T20:30:00Z, not 2026-01-16T17:45Z', '2026-01-15T19:00:00Z', 'Europe/Berlin'))
      .toBe('start at 21:30, not tomorrow 18:45');
  });
  it('midnights are those of the zone', () => {
    const seconds = (at: string) => Date.parse(at) / 1000;
    expect(midnights(seconds('2026-01-15T18:00:00Z'), seconds('2026-01-16T01:00:00Z'), 'Europe/Berlin'))
      .toEqual([seconds('2026-01-15T23:00:00Z')]);
    expect(midnights(seconds('2026-01-15T08:00:00Z'), seconds('2026-01-15T12:00:00Z'), 'UTC')).toEqual([]);
  });
});
