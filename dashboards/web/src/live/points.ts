import { scaledPair } from '../format/quantity';
import { ageSeconds } from '../format/time';
import type { NetworkPicture, PointRow } from './picture';

/** A value of a quantity sampled every minute is old after 5 min; a slot's energy follows its slot by up to 20 min. */
const OLD_SECONDS = { sampled: 300, energy: 2_400 } as const;
/** Customary threshold of the largest-normalised-residual test. */
export const SUSPICIOUS = 3;

export type PointState = 'normal' | 'old' | 'suspicious' | 'substituted' | 'implausible' | 'missing';

/** What is wrong with a point, the gravest first. */
export function pointState(row: PointRow, now: string): PointState {
  if (row.quality === 'implausible') return 'implausible';
  if (row.value === null || row.quality === 'missing') return 'missing';
  if (row.normalized !== null && Math.abs(row.normalized) >= SUSPICIOUS) return 'suspicious';
  if (row.quality === 'substituted') return 'substituted';
  const limit = row.unit === 'Wh' ? OLD_SECONDS.energy : OLD_SECONDS.sampled;
  const age = ageSeconds(row.measured_at, now);
  return age === null || age > limit ? 'old' : 'normal';
}

/** From which size on an error of the instrument would be noticed; nothing when nobody can tell. */
export function noticed(row: PointRow): string | undefined {
  if (row.detectable === null) return undefined;
  const size = scaledPair(row.detectable, null, row.unit);
  return `an error of ${size.first} ${size.unit} raises the alarm in 95 of 100 cases`;
}

/** How many points are in each state other than normal. */
export function tally(rows: PointRow[], now: string): Map<PointState, number> {
  const counts = new Map<PointState, number>();
  for (const row of rows) {
    const state = pointState(row, now);
    if (state !== 'normal') counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return counts;
}

const QUANTITIES: Record<string, string> = {
  u: 'voltage', i: 'current', p: 'active power', q: 'reactive power', energy: 'energy of a quarter-hour',
};

/** What a point is, in words: "line 1001, current, phase a". A name that is not understood says nothing. */
export function pointWords(point: string, network: NetworkPicture): string {
  const [element = '', number = '', quantity = '', phase] = point.split('.');
  const what = QUANTITIES[quantity];
  if (what === undefined) return '';
  const kind = network.branches.find((branch) => branch.id === Number(number))?.kind ?? 'branch';
  const name = { bus: 'bus', branch: kind, meter: 'meter of connection', device: 'device' }[element] ?? element;
  return `${name} ${number}, ${what}${phase === undefined ? '' : `, phase ${phase}`}`;
}
