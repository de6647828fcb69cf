// What the server sends, as the Rust read model (actors/src/picture) serialises it. Units are in the names;
// loadings are fractions of the rating; times are UTC; null is "not known".

export type Unknown<T> = T | null;

export interface NetworkPicture {
  name: string;
  notes: string[];
  area: string;
  buses: { id: number; x_m: Unknown<number>; y_m: Unknown<number>; u_rated_v: number }[];
  branches: Branch[];
  usage_points: UsagePoint[];
}

export interface Branch {
  id: number;
  kind: 'line' | 'transformer';
  /** Positions in `buses`. */
  from: number;
  to: number;
  rated_a?: number;
  rated_kva?: number;
}

export interface UsagePoint {
  id: number;
  /** Position in `buses`. */
  bus: number;
  phase: Unknown<Phase>;
  devices: ('charger' | 'battery' | 'heat_pump' | 'portfolio')[];
}

export type Phase = 'a' | 'b' | 'c';
export type Quality = 'measured' | 'estimated' | 'substituted' | 'forecast' | 'missing' | 'implausible';

export interface Picture {
  seq: number;
  clock: { now: string; speed: number; zone: string };
  health: Health;
  transformer: Unknown<Transformer>;
  voltages: Voltages;
  branch_loading: Unknown<number>[];
  points: PointRow[];
  needs: NeedRow[];
  clearing: Unknown<Clearing>;
  totals: Totals;
  feed: FeedEntry[];
}

export interface Health {
  link: 'up' | 'down';
  last_telemetry_at: Unknown<string>;
  received: number;
  rejected: number;
  skipped: number;
  restarts: number;
  quarantined: number;
  journal_records: number;
  estimator: {
    ok: boolean;
    at: Unknown<string>;
    iterations: number;
    objective_ratio: Unknown<number>;
    /** Probability of residuals this large (chi-square) when all instruments are as good as stated. */
    chance: Unknown<number>;
    /** Points whose measurements are probably wrong. */
    suspects: string[];
    alarms: { chi_square: number; largest_residual: number; expectation: number };
    message: Unknown<string>;
  };
  offers_open: number;
  rejections: { code: string; count: number }[];
  /** Values left although nothing is wrong with them, by rule. */
  skips: { code: string; count: number }[];
}

export interface Transformer {
  branch: number;
  rated_kva: number;
  loading: Unknown<number>;
  loading_std: Unknown<number>;
  estimated_kva: Unknown<number>;
  measured_kva: Unknown<number>;
  measured_at: Unknown<string>;
  history: HistoryEntry[];
  outlook: OutlookEntry[];
}

export interface HistoryEntry {
  at: string;
  measured_kva: Unknown<number>;
  estimated_kva: Unknown<number>;
  without_flex_kva: Unknown<number>;
}

export interface OutlookEntry {
  slot_start: string;
  loading: number;
  loading_p90: number;
  probability: number;
  loading_without_flex: Unknown<number>;
}

export interface Voltages {
  at: Unknown<string>;
  /** p.u., one per bus; empty before the first estimate. */
  a: Unknown<number>[];
  b: Unknown<number>[];
  c: Unknown<number>[];
  /** Largest standard deviation of the three phases. */
  std: Unknown<number>[];
  observability: Observability[];
}

/** What a voltage rests on: measurements alone, measurements and expectations, or nothing. */
export type Observability = 'measured' | 'expected' | 'unobservable';

export interface PointRow {
  point: string;
  value: Unknown<number>;
  unit: string;
  quality: Quality;
  /** The rule that stopped a newer value, and that value; `value` is the last one that was used. `largest-residual`: the
   * estimate finds the value wrong. */
  rule: Unknown<string>;
  refused: Unknown<number>;
  measured_at: Unknown<string>;
  estimated: Unknown<number>;
  normalized: Unknown<number>;
  /** The smallest error of the instrument that raises the alarm in 95 of 100 cases, in `unit`. */
  detectable: Unknown<number>;
  /** Why there is no `normalized` although the estimate used the point. */
  untestable: Unknown<string>;
}

export interface NeedRow {
  bid: string;
  element: string;
  phase: Unknown<Phase>;
  slot_start: string;
  change_kwh: number;
  price_per_kwh: number;
}

/** How the newest clearing went. */
export interface Clearing {
  at: string;
  offers: number;
  bought: number;
  welfare_eur: number;
  bound_eur: number;
  gap: Unknown<number>;
  objection: Unknown<string>;
  refused: RefusedRow[];
}

/** Why an offer was not bought. */
export interface RefusedRow {
  aggregate: string;
  code: string;
  asked_eur: Unknown<number>;
  winning_eur: Unknown<number>;
  element: Unknown<string>;
  slot_start: Unknown<string>;
}

export interface Totals {
  offers: number;
  contracts: number;
  activations: number;
  confirmed: number;
  settled: number;
  ordered_kwh: number;
  delivered_kwh: number;
  paid_eur: number;
  need_kwh: number;
}

export const FEED_KINDS = [
  'need', 'offer', 'clearing', 'contract', 'activation', 'delivery', 'settlement', 'restart', 'rejected', 'link',
] as const;
export type FeedKind = (typeof FEED_KINDS)[number];

export interface FeedEntry {
  seq: number;
  at: string;
  kind: FeedKind;
  text: string;
}

/** A change: the sections that differ, and of the feed the new entries only. */
export type Change = { seq: number } & Partial<Omit<Picture, 'seq'>>;
