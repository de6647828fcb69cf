import { describe, expect, it } from 'vitest';
import { euros, pricePerKwh } from './money';
import { count, fixed, NOT_KNOWN, percent, scaled, scaledPair, signed } from './quantity';

describe('numbers', () => {
  it('a value that is not known is a dash, never zero', () => {
    for (const value of [null, undefined, NaN, Infinity]) {
      expect(fixed(value, 1)).toBe(NOT_KNOWN);
      expect(percent(value)).toBe(NOT_KNOWN);
      expect(signed(value, 1)).toBe(NOT_KNOWN);
    }
  });
  it('negative numbers carry a real minus sign and zero carries none', () => {
    expect(fixed(-12.34, 1)).toBe('−12.3');
    expect(fixed(-0.04, 1)).toBe('0.0');
    expect(signed(0.04, 1)).toBe('0.0');
    expect(signed(1.5, 1)).toBe('+1.5');
    expect(signed(-1.5, 1)).toBe('−1.5');
  });
  it('thousands are grouped in the whole part only', () => {
    expect(count(1234567)).toBe('1\u2009234\u2009567');
    expect(fixed(1234.56789, 4)).toBe('1\u2009234.5679');
    expect(count(999)).toBe('999');
  });
  it('power is scaled to kilo from 10 000 on, voltage never', () => {
    expect(scaled(9999, 'W')).toEqual({ number: '9\u2009999', unit: 'W' });
    expect(scaled(45230, 'W')).toEqual({ number: '45.2', unit: 'kW' });
    expect(scaled(11000, 'V')).toEqual({ number: '11\u2009000.0', unit: 'V' });
  });
  it('a pair shares the unit of its larger value', () => {
    expect(scaledPair(12000, 900, 'W')).toEqual({ first: '12.00', second: '0.90', unit: 'kW' });
    expect(scaledPair(null, 900, 'Wh')).toEqual({ first: NOT_KNOWN, second: '900', unit: 'Wh' });
  });
  it('money has its currency', () => {
    expect(euros(12.4)).toBe('12.40 €');
    expect(euros(null)).toBe(`${NOT_KNOWN} €`);
    expect(pricePerKwh(0.35)).toBe('0.350 €/kWh');
  });
});
