import { describe, expect, it } from 'vitest';
import type { NetworkPicture } from '../live/picture';
import { fitted, nearest, positions, zoomed } from './plan';
import { decisive, voltageColour, voltageState } from './voltage';

describe('voltage', () => {
  it('is judged by the phase nearest to a limit', () => {
    expect(decisive(1.0, 0.95, 1.02)).toBe(0.95);
    expect(decisive(1.0, 1.11, 0.96)).toBe(1.11);
    expect(decisive(null, 1.0, null)).toBe(1.0);
    expect(decisive(null, null, null)).toBeNull();
  });
  it('inside the limits the colour is a grey, outside it is not', () => {
    const spread = (colour: string) => {
      const [r = 0, g = 0, b = 0] = (colour.match(/\d+/g) ?? []).map(Number);
      return Math.max(r, g, b) - Math.min(r, g, b);
    };
    for (const pu of [0.94, 0.97, 1, 1.05, 1.1]) expect(spread(voltageColour(pu))).toBeLessThan(25);
    for (const pu of [0.93, 0.8, 1.11, 1.3]) expect(spread(voltageColour(pu))).toBeGreaterThan(60);
    expect([0.93, 1, 1.11, null].map(voltageState)).toEqual(['low', 'normal', 'high', 'unknown']);
  });
});

describe('plan', () => {
  const bus = (id: number, x_m: number | null, y_m: number | null) => ({ id, x_m, y_m, u_rated_v: 416 });
  const line = (id: number, from: number, to: number) => ({ id, kind: 'line' as const, from, to });
  const network: NetworkPicture = {
    name: 'n', notes: [], area: 'a', usage_points: [],
    buses: [bus(1, 0, 0), bus(2, 100, 50), bus(3, null, null), bus(4, null, null)],
    branches: [line(1, 0, 1), line(2, 2, 1), line(3, 3, 2)],
  };
  it('buses without coordinates stand beside a neighbour', () => {
    const places = positions(network);
    expect(places[1]).toEqual({ x: 100, y: -50 });
    expect(Math.hypot(places[2]!.x - 100, places[2]!.y + 50)).toBeLessThan(10);
    expect(Math.hypot(places[3]!.x - 100, places[3]!.y + 50)).toBeLessThan(20);
  });
  it('the whole feeder fits into the margins', () => {
    const places = positions(network);
    const view = fitted(places, 400, 300, 20);
    for (const place of places) {
      expect(place.x * view.scale + view.x).toBeGreaterThanOrEqual(19.9);
      expect(place.y * view.scale + view.y).toBeLessThanOrEqual(280.1);
    }
  });
  it('zooming keeps the point under the pointer', () => {
    const view = zoomed({ scale: 2, x: 10, y: 20 }, 1.5, 110, 220);
    expect(50 * view.scale + view.x).toBeCloseTo(110);
    expect(100 * view.scale + view.y).toBeCloseTo(220);
  });
  it('the nearest bus within reach is found', () => {
    const places = positions(network);
    const view = { scale: 1, x: 0, y: 0 };
    expect(nearest(places, () => 1, view, 2, 1, 10)).toBe(0);
    expect(nearest(places, () => 1, view, 50, 200, 10)).toBeNull();
  });
});
