import { describe, expect, it } from 'vitest';
import recorded from '../../testdata/snapshot.json';
import type { NetworkPicture, Picture } from '../live/picture';
import { BAND_DEVIATIONS, layout, span } from './profile';

const network: NetworkPicture = {
  name: 'n', notes: [], area: 'a', usage_points: [],
  buses: [1, 2, 3, 4, 5].map((id) => ({ id, x_m: 0, y_m: 0, u_rated_v: 400 })),
  branches: [
    { id: 1, kind: 'transformer', from: 0, to: 1 },
    { id: 2, kind: 'line', from: 1, to: 2 },
    { id: 3, kind: 'line', from: 3, to: 2 },
  ],
};
const points = [{ x: 0, y: 0 }, { x: 0, y: 10 }, { x: 30, y: 50 }, { x: 30, y: 150 }, { x: 900, y: 0 }];

describe('profile', () => {
  it('distance counts along the lines from the lower side of the transformer', () => {
    expect(layout(network, points).distance).toEqual([null, 0, 50, 150, null]);
  });
  it('sections lead away from the transformer, whichever way a line was written', () => {
    expect(layout(network, points).sections).toEqual([{ from: 1, to: 2 }, { from: 2, to: 3 }]);
  });
  it('an empty network has no section', () => {
    expect(layout({ ...network, buses: [], branches: [] }, []).sections).toEqual([]);
  });
  it('the scale holds every known voltage with its band', () => {
    const picture = recorded as unknown as Picture;
    const u = { ...picture.voltages, a: [0.9], b: [null], c: [1.15], std: [0.01] };
    const [low, high] = span({ ...picture, voltages: u }, [0]);
    expect(low).toBeLessThan(0.9 - BAND_DEVIATIONS * 0.01);
    expect(high).toBeGreaterThan(1.15 + BAND_DEVIATIONS * 0.01);
  });
});
