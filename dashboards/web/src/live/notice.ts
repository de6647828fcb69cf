import { clockSeconds } from '../format/time';
import type { Live } from './stream.svelte';

export interface Notice {
  state: 'waiting' | 'stale' | 'link-down' | 'estimator' | 'normal';
  text: string;
}

/** The one line that says whether the page can be believed; the gravest reason wins. */
export function notice(live: Pick<Live, 'picture' | 'staleness' | 'problem' | 'network'>): Notice {
  const { picture, staleness } = live;
  if (picture === null || staleness.state === 'waiting') {
    return { state: 'waiting', text: `Waiting for data${live.problem === null ? '' : `: ${live.problem}`}` };
  }
  if (picture.seq === 0) return { state: 'waiting', text: 'The system is starting and has not published anything yet' };
  const zone = picture.clock.zone;
  if (staleness.state === 'stale') {
    const since = `${clockSeconds(picture.clock.now, zone)} ${zone}`;
    const seconds = Math.floor(staleness.silentMs / 1000);
    const reason = live.problem ?? staleness.reason;
    return { state: 'stale', text: `STALE – no data since ${since} (${seconds} s ago: ${reason})` };
  }
  if (picture.health.link === 'down') {
    const last = clockSeconds(picture.health.last_telemetry_at, zone);
    return { state: 'link-down', text: `TELEMETRY DOWN – last value received ${last}; estimates rest on older values` };
  }
  const { ok, at, message } = picture.health.estimator;
  if (!ok && at !== null) {
    const reason = message === null ? '' : `: ${message}`;
    return { state: 'estimator', text: `ESTIMATOR FAILED – last estimate ${clockSeconds(at, zone)}${reason}` };
  }
  return { state: 'normal', text: live.network?.notes.join(' · ') ?? '' };
}
