// Voltage limits and the colours of the map. Grey inside the limits, lighter towards a limit; blue below, violet
// above, both with a shape of their own, so that colour is never the only sign.

/** 230 V −6 % / +10 %, the statutory range of the United Kingdom, where the feeder comes from. */
export const VOLTAGE_PU_MIN = 0.94;
export const VOLTAGE_PU_MAX = 1.1;

export type VoltageState = 'unknown' | 'low' | 'normal' | 'high';

export function voltageState(pu: number | null): VoltageState {
  if (pu === null) return 'unknown';
  if (pu < VOLTAGE_PU_MIN) return 'low';
  return pu > VOLTAGE_PU_MAX ? 'high' : 'normal';
}

type Rgb = [number, number, number];
const GREY_DARK: Rgb = [84, 93, 104];
const GREY_LIGHT: Rgb = [196, 205, 214];
const LOW: [Rgb, Rgb] = [[120, 190, 255], [32, 128, 255]];
const HIGH: [Rgb, Rgb] = [[222, 170, 255], [186, 84, 255]];
export const UNKNOWN_COLOUR = '#6a727c';

/** Excess over a limit at which the colour is fullest, p.u. */
const EXCESS_FULL = 0.05;

export function voltageColour(pu: number | null): string {
  const state = voltageState(pu);
  if (pu === null || state === 'unknown') return UNKNOWN_COLOUR;
  if (state === 'low') return mixed(LOW, (VOLTAGE_PU_MIN - pu) / EXCESS_FULL);
  if (state === 'high') return mixed(HIGH, (pu - VOLTAGE_PU_MAX) / EXCESS_FULL);
  const nearness = pu < 1 ? (1 - pu) / (1 - VOLTAGE_PU_MIN) : (pu - 1) / (VOLTAGE_PU_MAX - 1);
  return mixed([GREY_DARK, GREY_LIGHT], nearness);
}

function mixed([from, to]: [Rgb, Rgb], share: number): string {
  const part = Math.min(1, Math.max(0, share));
  const channel = (i: 0 | 1 | 2) => Math.round(from[i] + (to[i] - from[i]) * part);
  return `rgb(${channel(0)}, ${channel(1)}, ${channel(2)})`;
}

/** The phase voltage that lies nearest to a limit or furthest beyond one decides how a bus looks. */
export function decisive(a: number | null, b: number | null, c: number | null): number | null {
  const known = [a, b, c].filter((u): u is number => u !== null && u !== undefined);
  if (known.length === 0) return null;
  const margin = (u: number) => Math.min(u - VOLTAGE_PU_MIN, VOLTAGE_PU_MAX - u);
  return known.reduce((worst, u) => (margin(u) < margin(worst) ? u : worst));
}
