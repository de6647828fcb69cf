import { fixed } from './quantity';

/** An amount: 12.40 €. */
export function euros(value: number | null): string {
  return `${fixed(value, 2)} €`;
}

/** A price: 0.35 €/kWh. */
export function pricePerKwh(value: number | null): string {
  return `${fixed(value, 3)} €/kWh`;
}
