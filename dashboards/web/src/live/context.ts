import { millis } from '../format/time';
import type { FeedKind, OutlookEntry, Picture } from './picture';

/** Kinds that report on the system itself, not on trade. */
export const SYSTEM_KINDS: readonly FeedKind[] = ['restart', 'rejected', 'link'];

export interface Peak {
  slotStart: string;
  loading: number;
  p90: number;
  probability: number;
  without: number | null;
}

/** How far ahead "next" reaches, and the chart; what is expected after that is told as "later". */
export const NEXT_HOURS = 6;

export interface Ahead {
  next: Peak | null;
  later: Peak | null;
  /** End of the outlook, ms since the epoch. */
  end: number | null;
}

/** The highest expected loading of the next hours and, apart from it, of the rest of the outlook. */
export function ahead(picture: Picture): Ahead {
  const outlook = picture.transformer?.outlook ?? [];
  const border = (millis(picture.clock.now) ?? 0) + NEXT_HOURS * 3_600_000;
  const isNext = (entry: OutlookEntry) => (millis(entry.slot_start) ?? 0) < border;
  const last = millis(outlook.at(-1)?.slot_start);
  return {
    next: peakOf(outlook.filter(isNext)),
    later: peakOf(outlook.filter((entry) => !isNext(entry))),
    end: last === null ? null : last + 900_000,
  };
}

export type Prospect = 'unknown' | 'clear' | 'possible' | 'congested';

/** Congestion is expected when the load is above the rating, possible when it would be so in one case of ten. */
export function prospect(peak: Peak | null): Prospect {
  if (peak === null) return 'unknown';
  if (peak.loading > 1) return 'congested';
  return peak.p90 > 1 ? 'possible' : 'clear';
}

/** The slot with the highest expected loading; null when there is none. */
function peakOf(outlook: OutlookEntry[]): Peak | null {
  let peak: Peak | null = null;
  let without: number | null = null;
  for (const entry of outlook) {
    if (entry.loading_without_flex !== null) without = Math.max(without ?? 0, entry.loading_without_flex);
    if (peak !== null && entry.loading <= peak.loading) continue;
    const { slot_start: slotStart, loading, loading_p90: p90, probability } = entry;
    peak = { slotStart, loading, p90, probability, without: null };
  }
  return peak === null ? null : { ...peak, without };
}

export type LoadingState = 'unknown' | 'normal' | 'high' | 'overload';

/** From 90 % of the rating a loading is high, above 100 % it is an overload. */
export function loadingState(loading: number | null): LoadingState {
  if (loading === null) return 'unknown';
  if (loading > 1) return 'overload';
  return loading >= 0.9 ? 'high' : 'normal';
}
