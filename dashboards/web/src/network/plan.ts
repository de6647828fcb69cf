import type { NetworkPicture } from '../live/picture';

export interface Point {
  x: number;
  y: number;
}

/** Where each bus is drawn, m, north up. Buses without coordinates stand beside a neighbour that has some. */
export function positions(network: NetworkPicture): Point[] {
  const places: (Point | null)[] = network.buses.map((bus) =>
    bus.x_m === null || bus.y_m === null ? null : { x: bus.x_m, y: -bus.y_m },
  );
  const extent = largestExtent(places);
  for (let round = 0; round < network.buses.length && places.includes(null); round++) {
    let placed = false;
    for (const branch of network.branches) {
      placed = beside(places, branch.from, branch.to, extent) || placed;
      placed = beside(places, branch.to, branch.from, extent) || placed;
    }
    if (!placed) break;
  }
  return places.map((place, index) => place ?? { x: index % 40, y: Math.floor(index / 40) });
}

function beside(places: (Point | null)[], known: number, missing: number, extent: number): boolean {
  const neighbour = places[known];
  if (neighbour == null || places[missing] !== null) return false;
  places[missing] = { x: neighbour.x + extent * 0.01, y: neighbour.y - extent * 0.03 };
  return true;
}

function largestExtent(places: (Point | null)[]): number {
  const known = places.filter((place) => place !== null);
  const span = (values: number[]) => (values.length === 0 ? 1 : Math.max(...values) - Math.min(...values));
  return Math.max(1, span(known.map((p) => p.x)), span(known.map((p) => p.y)));
}

/** From plan to screen: screen = plan × scale + offset. */
export interface View {
  scale: number;
  x: number;
  y: number;
}

export function fitted(points: Point[], width: number, height: number, margin: number): View {
  if (points.length === 0) return { scale: 1, x: 0, y: 0 };
  const xs = points.map((p) => p.x);
  const ys = points.map((p) => p.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min(
    (width - 2 * margin) / Math.max(1e-6, right - left),
    (height - 2 * margin) / Math.max(1e-6, bottom - top),
  );
  return {
    scale,
    x: width / 2 - ((left + right) / 2) * scale,
    y: height / 2 - ((top + bottom) / 2) * scale,
  };
}

/** The view after zooming by `factor` around a screen point. */
export function zoomed(view: View, factor: number, x: number, y: number): View {
  return { scale: view.scale * factor, x: x - (x - view.x) * factor, y: y - (y - view.y) * factor };
}

/** The bus nearest to a screen point within `reach` pixels; buses with customers win over bare joints. */
export function nearest(
  points: Point[], weight: (bus: number) => number, view: View, x: number, y: number, reach: number,
): number | null {
  let best: number | null = null;
  let bestDistance = reach;
  points.forEach((point, bus) => {
    const distance = Math.hypot(point.x * view.scale + view.x - x, point.y * view.scale + view.y - y) * weight(bus);
    if (distance < bestDistance) [best, bestDistance] = [bus, distance];
  });
  return best;
}
