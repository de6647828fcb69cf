import { describe, expect, it } from 'vitest';
import type { Transformer } from '../live/picture';
import { columns, span, top } from './trend';

const past = (at: string, measured: number | null) => ({
  at, measured_kva: measured, estimated_kva: 125, without_flex_kva: null,
});
const slot = (slot_start: string, loading: number) => ({
  slot_start, loading, loading_p90: loading + 0.1, probability: 0, loading_without_flex: null,
});
const transformer: Transformer = {
  branch: 1, rated_kva: 250, loading: 0.5, loading_std: null, estimated_kva: 125, measured_kva: null, measured_at: null,
  history: [past('2026-01-15T17:00:00Z', 130), past('2026-01-15T17:01:00Z', null)],
  outlook: [slot('2026-01-15T17:15:00Z', 0.6), slot('2026-01-15T17:30:00Z', 1.3)],
};

describe('the trend', () => {
  it('joins past and future on one time axis in percent of the rating', () => {
    const [times, measured, estimated, , expected, p90] = columns(transformer);
    expect(times).toHaveLength(5);
    expect(measured?.slice(0, 2)).toEqual([52, null]);
    expect(estimated?.slice(0, 3)).toEqual([50, 50, undefined]);
    expect(expected).toEqual([undefined, undefined, 60, 130, 130]);
    expect(p90?.[3]).toBeCloseTo(140);
  });
  it('a missing measurement stays a gap and an absent series does not break a line', () => {
    const [, measured] = columns(transformer);
    expect(measured?.[1]).toBeNull();
    expect(measured?.[2]).toBeUndefined();
  });
  it('the scale holds every value and at least 120 %', () => {
    expect(top(columns({ ...transformer, outlook: [] }))).toBe(120);
    expect(top(columns(transformer))).toBe(160);
  });
  it('shows the past there is, from one hour up to the most that fits', () => {
    const end = Date.parse('2026-01-15T17:01:00Z') / 1000;
    const data = columns(transformer);
    expect(span(data, end, 4, 6)).toEqual([end - 3600, end + 6 * 3600]);
    expect(span(data, end + 7200, 4, 6)[0]).toBe(end - 60 - 900);
    expect(span(data, end + 36_000, 4, 6)[0]).toBe(end + 36_000 - 4 * 3600);
  });
  it('what is not shown does not stretch the scale', () => {
    expect(top(columns(transformer), 0, Date.parse('2026-01-15T17:20:00Z') / 1000)).toBe(120);
  });
});
