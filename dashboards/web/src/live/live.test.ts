import { describe, expect, it } from 'vitest';
import recorded from '../../testdata/snapshot.json';
import { apply } from './apply';
import { ahead, loadingState, prospect } from './context';
import { notice } from './notice';
import type { FeedEntry, Picture, PointRow } from './picture';
import { FEED_KINDS } from './picture';
import { noticed, pointState } from './points';
import { staleness } from './staleness';

const picture = recorded as unknown as Picture;
const entry = (seq: number): FeedEntry => ({ seq, at: picture.clock.now, kind: 'need', text: `entry ${seq}` });

describe('a change', () => {
  it('replaces the sections it holds and leaves the others as they are', () => {
    const next = apply(picture, { seq: picture.seq + 1, needs: [] });
    expect(next.seq).toBe(picture.seq + 1);
    expect(next.needs).toEqual([]);
    expect(next.voltages).toBe(picture.voltages);
  });
  it('adds new feed entries once and keeps at most 200', () => {
    const start = { ...picture, feed: [entry(1), entry(2)] };
    const next = apply(start, { seq: 2, feed: [entry(2), entry(3)] });
    expect(next.feed.map((e) => e.seq)).toEqual([1, 2, 3]);
    const many = apply(start, { seq: 3, feed: Array.from({ length: 300 }, (_, i) => entry(i + 3)) });
    expect(many.feed).toHaveLength(200);
    expect(many.feed.at(-1)?.seq).toBe(302);
  });
});

describe('staleness', () => {
  it('three missed beats make the page stale', () => {
    expect(staleness({ beatAt: 0, pictureAt: 0 }, 3_000).state).toBe('live');
    expect(staleness({ beatAt: 0, pictureAt: 0 }, 3_400)).toMatchObject({ state: 'stale', reason: 'no heartbeat' });
  });
  it('a heart that beats over a picture that stands still is stale too', () => {
    expect(staleness({ beatAt: 7_000, pictureAt: 0 }, 7_000)).toMatchObject({
      state: 'stale', reason: 'the system stands still',
    });
  });
  it('nothing heard yet is waiting, not stale', () => {
    expect(staleness({ beatAt: null, pictureAt: null }, 10_000).state).toBe('waiting');
  });
  it('the notice names the time of the last data', () => {
    const stale = { state: 'stale', reason: 'no heartbeat', silentMs: 12_000 } as const;
    const line = notice({ picture, network: null, problem: null, staleness: stale });
    expect(line.state).toBe('stale');
    expect(line.text).toMatch(/^STALE – no data since \d\d:\d\d:\d\d .* \(12 s ago: no heartbeat\)$/);
  });
  it('a system that has published nothing yet is starting, not stale', () => {
    const stale = { state: 'stale', reason: 'the system stands still', silentMs: 9_000 } as const;
    const line = notice({ picture: { ...picture, seq: 0 }, network: null, problem: null, staleness: stale });
    expect(line.state).toBe('waiting');
  });
  it('a failed estimator and a link that is down are told', () => {
    const live = { network: null, problem: null, staleness: { state: 'live' } as const };
    const health = { ...picture.health, link: 'down' as const };
    expect(notice({ ...live, picture: { ...picture, health } }).state).toBe('link-down');
    const estimator = { ...picture.health.estimator, ok: false, message: 'diverged' };
    const failed = notice({ ...live, picture: { ...picture, health: { ...picture.health, estimator } } });
    expect(failed.text).toMatch(/^ESTIMATOR FAILED – last estimate .*: diverged$/);
  });
});

describe('the recorded snapshot', () => {
  it('has the sections the page reads, as the server writes them', () => {
    expect(Object.keys(recorded)).toEqual([
      'seq', 'clock', 'health', 'transformer', 'voltages', 'branch_loading', 'points', 'needs', 'clearing', 'totals',
      'feed',
    ]);
    expect(picture.feed.every((e) => FEED_KINDS.includes(e.kind))).toBe(true);
    expect(picture.voltages.a).toHaveLength(picture.voltages.std.length);
  });
  it('tells the peak of the next hours apart from the one of tomorrow', () => {
    const at = (slot_start: string, loading: number) => ({
      slot_start, loading, loading_p90: loading, probability: 0, loading_without_flex: loading + 0.1,
    });
    const outlook = [at('2026-01-15T19:00:00Z', 0.8), at('2026-01-15T19:15:00Z', 0.9), at('2026-01-16T18:45:00Z', 1.2)];
    const transformer = picture.transformer === null ? null : { ...picture.transformer, outlook };
    const evening = { ...picture, clock: { ...picture.clock, now: '2026-01-15T19:02:00Z' }, transformer };
    const { next, later, end } = ahead(evening);
    expect(next).toMatchObject({ slotStart: '2026-01-15T19:15:00Z', loading: 0.9, without: 1 });
    expect(later).toMatchObject({ slotStart: '2026-01-16T18:45:00Z', loading: 1.2 });
    expect(end).toBe(Date.parse('2026-01-16T19:00:00Z'));
    expect(ahead({ ...evening, transformer: null })).toEqual({ next: null, later: null, end: null });
  });
});

describe('judging', () => {
  it('an overload is above the rating, high from 90 %', () => {
    expect([null, 0.5, 0.9, 1, 1.01].map(loadingState)).toEqual(['unknown', 'normal', 'high', 'high', 'overload']);
  });
  it('congestion is expected above the rating and possible when one case in ten is', () => {
    const peak = { slotStart: '', loading: 0.9, p90: 0.95, probability: 0, without: null };
    expect(prospect(null)).toBe('unknown');
    expect(prospect(peak)).toBe('clear');
    expect(prospect({ ...peak, p90: 1.1 })).toBe('possible');
    expect(prospect({ ...peak, loading: 1.05, p90: 1.1 })).toBe('congested');
  });
  it('a point shows its gravest fault', () => {
    const now = '2026-01-15T17:30:00Z';
    const row: PointRow = {
      point: 'bus.1.u.a', value: 230, unit: 'V', quality: 'measured', measured_at: '2026-01-15T17:29:00Z',
      estimated: 231, normalized: 0.4, detectable: 2.1, untestable: null, rule: null, refused: null,
    };
    expect(pointState(row, now)).toBe('normal');
    expect(noticed(row)).toBe('an error of 2.1 V raises the alarm in 95 of 100 cases');
    expect(noticed({ ...row, detectable: null })).toBeUndefined();
    expect(pointState({ ...row, measured_at: '2026-01-15T17:20:00Z' }, now)).toBe('old');
    expect(pointState({ ...row, unit: 'Wh', measured_at: '2026-01-15T17:20:00Z' }, now)).toBe('normal');
    expect(pointState({ ...row, quality: 'substituted' }, now)).toBe('substituted');
    expect(pointState({ ...row, normalized: -3.2 }, now)).toBe('suspicious');
    expect(pointState({ ...row, value: null }, now)).toBe('missing');
    expect(pointState({ ...row, value: null, quality: 'implausible', rule: 'unit-slip', refused: 230_000 }, now)).toBe('implausible');
  });
});
