// When to stop trusting the page: the heartbeat stops (server or link gone), or it goes on but the picture
// behind it stands still (the system behind the server has stopped).

/** Three missed beats of one a second, with a little room for jitter. */
export const BEAT_SILENCE_MAX_MS = 3_300;
/** The picture gets a new sequence number at least once a second. */
export const PICTURE_STANDSTILL_MAX_MS = 6_000;

export type Staleness =
  | { state: 'waiting' }
  | { state: 'live' }
  | { state: 'stale'; reason: 'no heartbeat' | 'the system stands still'; silentMs: number };

export interface Heard {
  /** Monotonic milliseconds; null before the first. */
  beatAt: number | null;
  pictureAt: number | null;
}

export function staleness(heard: Heard, now: number): Staleness {
  if (heard.beatAt === null || heard.pictureAt === null) return { state: 'waiting' };
  const silentMs = now - heard.beatAt;
  if (silentMs > BEAT_SILENCE_MAX_MS) return { state: 'stale', reason: 'no heartbeat', silentMs };
  const stillMs = now - heard.pictureAt;
  if (stillMs > PICTURE_STANDSTILL_MAX_MS) {
    return { state: 'stale', reason: 'the system stands still', silentMs: stillMs };
  }
  return { state: 'live' };
}
