// The voltage profile: voltage over the distance from the source, every phase with its band.

import type { NetworkPicture, Picture } from '../live/picture';
import { hatching } from './hatch';
import type { Point } from './plan';
import { VOLTAGE_PU_MAX, VOLTAGE_PU_MIN } from './voltage';

/** Half width of the band in standard deviations: 95 of 100 true values lie inside. */
export const BAND_DEVIATIONS = 1.96;
const PHASE_COLOURS = { a: '#f2f5f8', b: '#9aa7b5', c: '#6fb7c9' } as const;
const MUTED = '#8b949e';
const MARGIN = { left: 48, right: 12, top: 12, bottom: 54 };

export interface Section {
  from: number;
  to: number;
}

export interface Layout {
  /** Distance of each bus from the feeding side of the transformer along the branches, m; null where no way leads. */
  distance: (number | null)[];
  /** Lines on the lower side of the transformer, away from it. */
  sections: Section[];
}

/** Walks the network from the first transformer's lower side (or the first bus); `points` give lengths in m. */
export function layout(network: NetworkPicture, points: Point[]): Layout {
  const transformer = network.branches.find((branch) => branch.kind === 'transformer');
  const start = transformer?.to ?? 0;
  const distance: (number | null)[] = network.buses.map(() => null);
  const neighbours: number[][] = network.buses.map(() => []);
  for (const branch of network.branches) {
    if (branch.kind === 'transformer') continue;
    neighbours[branch.from]?.push(branch.to);
    neighbours[branch.to]?.push(branch.from);
  }
  const sections: Section[] = [];
  if (network.buses.length > 0) distance[start] = 0;
  const waiting = network.buses.length > 0 ? [start] : [];
  for (let bus = waiting.pop(); bus !== undefined; bus = waiting.pop()) {
    for (const next of neighbours[bus] ?? []) {
      if (distance[next] !== null) continue;
      const [here, there] = [points[bus] ?? { x: 0, y: 0 }, points[next] ?? { x: 0, y: 0 }];
      distance[next] = (distance[bus] ?? 0) + Math.hypot(there.x - here.x, there.y - here.y);
      sections.push({ from: bus, to: next });
      waiting.push(next);
    }
  }
  return { distance, sections };
}

/** Lowest and highest value shown, p.u.: the limits and everything known with its band. */
export function span(picture: Picture, buses: number[]): [number, number] {
  let [low, high] = [VOLTAGE_PU_MIN, VOLTAGE_PU_MAX];
  for (const bus of buses) {
    const band = BAND_DEVIATIONS * (picture.voltages.std[bus] ?? 0);
    for (const phase of ['a', 'b', 'c'] as const) {
      const pu = picture.voltages[phase][bus] ?? null;
      if (pu === null) continue;
      [low, high] = [Math.min(low, pu - band), Math.max(high, pu + band)];
    }
  }
  return [low - 0.005, high + 0.005];
}

export function drawProfile(
  ctx: CanvasRenderingContext2D, picture: Picture, plan: Layout, selected: number | null, width: number, height: number,
): void {
  ctx.clearRect(0, 0, width, height);
  const reached = plan.distance.flatMap((metres, bus) => (metres === null ? [] : [bus]));
  const farthest = Math.max(1, ...plan.distance.map((metres) => metres ?? 0));
  const [low, high] = span(picture, reached);
  const x = (metres: number) => MARGIN.left + (metres / farthest) * (width - MARGIN.left - MARGIN.right);
  const y = (pu: number) => height - MARGIN.bottom - ((pu - low) / (high - low)) * (height - MARGIN.top - MARGIN.bottom);
  drawAxes(ctx, x, y, farthest, [low, high], width, height);
  const u = picture.voltages;
  const unknown = ({ to }: Section): boolean => u.observability[to] === 'unobservable';
  // Hatching first, so that it covers no line.
  ctx.fillStyle = hatching(ctx);
  for (const { from, to } of plan.sections.filter(unknown)) {
    const [start, end] = [x(plan.distance[from] ?? 0), x(plan.distance[to] ?? 0)];
    ctx.fillRect(start, height - MARGIN.bottom - 8, Math.max(1, end - start), 8);
  }
  for (const { from, to } of plan.sections.filter((section) => !unknown(section))) {
    const [start, end] = [x(plan.distance[from] ?? 0), x(plan.distance[to] ?? 0)];
    for (const phase of ['a', 'b', 'c'] as const) {
      const [near, far] = [u[phase][from] ?? null, u[phase][to] ?? null];
      if (near === null || far === null) continue;
      const [bandNear, bandFar] = [from, to].map((bus) => BAND_DEVIATIONS * (u.std[bus] ?? 0)) as [number, number];
      ctx.globalAlpha = 0.12;
      ctx.fillStyle = PHASE_COLOURS[phase];
      ctx.beginPath();
      ctx.moveTo(start, y(near - bandNear));
      ctx.lineTo(start, y(near + bandNear));
      ctx.lineTo(end, y(far + bandFar));
      ctx.lineTo(end, y(far - bandFar));
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.strokeStyle = PHASE_COLOURS[phase];
      ctx.lineWidth = 1.4;
      ctx.beginPath();
      ctx.moveTo(start, y(near));
      ctx.lineTo(end, y(far));
      ctx.stroke();
    }
  }
  if (selected !== null && plan.distance[selected] != null) {
    ctx.strokeStyle = '#f2f5f8';
    ctx.setLineDash([3, 3]);
    line(ctx, x(plan.distance[selected] ?? 0), MARGIN.top, x(plan.distance[selected] ?? 0), height - MARGIN.bottom);
    ctx.setLineDash([]);
  }
}

function drawAxes(
  ctx: CanvasRenderingContext2D, x: (metres: number) => number, y: (pu: number) => number, farthest: number,
  [low, high]: [number, number], width: number, height: number,
): void {
  ctx.font = '12px system-ui, "DejaVu Sans", sans-serif';
  ctx.fillStyle = MUTED;
  ctx.strokeStyle = '#2b3036';
  ctx.lineWidth = 1;
  ctx.textBaseline = 'middle';
  ctx.textAlign = 'right';
  for (let pu = Math.ceil(low * 50) / 50; pu <= high; pu += 0.02) {
    line(ctx, MARGIN.left, y(pu), width - MARGIN.right, y(pu));
    ctx.fillText(pu.toFixed(2), MARGIN.left - 6, y(pu));
  }
  ctx.strokeStyle = '#8a6d2f';
  ctx.setLineDash([6, 4]);
  for (const limit of [VOLTAGE_PU_MIN, VOLTAGE_PU_MAX]) line(ctx, MARGIN.left, y(limit), width - MARGIN.right, y(limit));
  ctx.setLineDash([]);
  ctx.textAlign = 'center';
  ctx.textBaseline = 'top';
  const step = [50, 100, 200, 500, 1000, 2000, 5000].find((metres) => farthest / metres <= 8) ?? 10_000;
  for (let metres = 0; metres <= farthest; metres += step) {
    ctx.fillText(`${metres} m`, x(metres), height - MARGIN.bottom + 6);
  }
  ctx.textAlign = 'left';
  ctx.fillText('p.u.', 6, MARGIN.top - 8);
}

function line(ctx: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}
