// Numbers for people. A value that is not known is an en dash, never zero.

export const NOT_KNOWN = '–';
const MINUS = '−';

type Maybe = number | null | undefined;

function finite(value: Maybe): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

/** Fixed decimals, a real minus sign, thin groups of three, no "−0". */
export function fixed(value: Maybe, decimals: number): string {
  if (!finite(value)) return NOT_KNOWN;
  const text = Math.abs(value).toFixed(decimals);
  const [whole = '0', part] = text.split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, '\u2009');
  const digits = part === undefined ? grouped : `${grouped}.${part}`;
  const isZero = Number(text) === 0;
  return value < 0 && !isZero ? MINUS + digits : digits;
}

/** Like `fixed`, with a plus sign: for changes and deviations. */
export function signed(value: Maybe, decimals: number): string {
  const text = fixed(value, decimals);
  return finite(value) && Number(value.toFixed(decimals)) > 0 ? `+${text}` : text;
}

/** A fraction in percent, without the sign %. */
export function percent(fraction: Maybe, decimals = 0): string {
  return finite(fraction) ? fixed(fraction * 100, decimals) : NOT_KNOWN;
}

/** A value with its unit, scaled to kilo from 10 000 on: 4 520 W, 45.2 kW. */
export function scaled(value: Maybe, unit: string): { number: string; unit: string } {
  if (!finite(value)) return { number: NOT_KNOWN, unit };
  if (unit === 'V') return { number: fixed(value, 1), unit };
  if (unit === 'A') return { number: fixed(value, 1), unit };
  if (Math.abs(value) >= 9_999.5) return { number: fixed(value / 1000, 1), unit: `k${unit}` };
  return { number: fixed(value, 0), unit };
}

/** Both values in the unit that suits the larger one, so that they can be compared at a glance. */
export function scaledPair(first: Maybe, second: Maybe, unit: string): { first: string; second: string; unit: string } {
  const largest = Math.max(finite(first) ? Math.abs(first) : 0, finite(second) ? Math.abs(second) : 0);
  if (unit === 'V' || unit === 'A') return { first: fixed(first, 1), second: fixed(second, 1), unit };
  if (largest < 9_999.5) return { first: fixed(first, 0), second: fixed(second, 0), unit };
  const kilo = (value: Maybe) => fixed(finite(value) ? value / 1000 : null, 2);
  return { first: kilo(first), second: kilo(second), unit: `k${unit}` };
}

/** Voltage in p.u., four digits. */
export function perUnit(value: Maybe): string {
  return fixed(value, 3);
}

/** A count; thousands grouped. */
export function count(value: Maybe): string {
  return fixed(value, 0);
}
