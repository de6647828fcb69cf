import { describe, expect, it } from 'vitest';
import { NOT_KNOWN } from './quantity';
import { age, ageSeconds, clock, clockSeconds, date, validZone } from './time';

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
});
