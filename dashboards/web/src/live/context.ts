import type { FeedKind, Picture } from './picture';

/** Kinds that report on the system itself, not on trade. */
export const SYSTEM_KINDS: readonly FeedKind[] = ['restart', 'rejected', 'link'];

export interface Peak {
  slotStart: string;
  loading: number;
  p90: number;
  probability: number;
  without: number | null;
}

/** The slot with the highest expected loading; null without an outlook. */
export function peakAhead(picture: Picture): Peak | null {
  const outlook = picture.transformer?.outlook ?? [];
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
