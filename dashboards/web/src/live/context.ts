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
  const now = millis(picture.clock.now) ?? 0;
  // A slot that is over is no outlook, however old the outlook is.
  const outlook = (picture.transformer?.outlook ?? []).filter((entry) => (millis(entry.slot_start) ?? 0) + 900_000 > now);
  const border = now + NEXT_HOURS * 3_600_000;
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

/** The slot with the highest expected loading, with the highest 90 % value and probability of all slots; null when there is none. */
function peakOf(outlook: OutlookEntry[]): Peak | null {
  let peak: Peak | null = null;
  let without: number | null = null;
  let p90 = 0;
  let probability = 0;
  for (const entry of outlook) {
    if (entry.loading_without_flex !== null) without = Math.max(without ?? 0, entry.loading_without_flex);
    p90 = Math.max(p90, entry.loading_p90);
    probability = Math.max(probability, entry.probability);
    if (peak !== null && entry.loading <= peak.loading) continue;
    peak = { slotStart: entry.slot_start, loading: entry.loading, p90: 0, probability: 0, without: null };
  }
  return peak === null ? null : { ...peak, p90, probability, without };
}

export type LoadingState = 'unknown' | 'normal' | 'high' | 'overload';

/** From 90 % of the rating a loading is high, above 100 % it is an overload. */
export function loadingState(loading: number | null): LoadingState {
  if (loading === null) return 'unknown';
  if (loading > 1) return 'overload';
  return loading >= 0.9 ? 'high' : 'normal';
}
