import type { NetworkPicture, Picture } from '../live/picture';
import type { Point, View } from './plan';
import { hatchedLine, hatchedShape } from './hatch';
import { decisive, UNKNOWN_COLOUR, voltageColour, voltageState } from './voltage';

const WARNING = '#f2b03d';
const ALARM = '#ff5f57';
const TEXT = '#f2f5f8';
const LOADING_HIGH = 0.8;

export interface Scene {
  network: NetworkPicture;
  picture: Picture;
  points: Point[];
  view: View;
  selected: number | null;
  stale: boolean;
}

/** Draws the whole feeder; `width` and `height` in CSS pixels. */
export function drawFeeder(ctx: CanvasRenderingContext2D, scene: Scene, width: number, height: number): void {
  ctx.clearRect(0, 0, width, height);
  ctx.globalAlpha = scene.stale ? 0.75 : 1;
  const voltages = scene.network.buses.map((_, bus) => voltageOf(scene.picture, bus));
  const at = (bus: number): Point => {
    const point = scene.points[bus] ?? { x: 0, y: 0 };
    return { x: point.x * scene.view.scale + scene.view.x, y: point.y * scene.view.scale + scene.view.y };
  };
  drawLines(ctx, scene, voltages, at);
  drawBuses(ctx, scene, voltages, at);
  drawTransformers(ctx, scene, at);
  if (scene.selected !== null) {
    const place = at(scene.selected);
    ctx.strokeStyle = TEXT;
    ctx.lineWidth = 1.5;
    circle(ctx, place, 9);
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

export function voltageOf(picture: Picture, bus: number): number | null {
  const { a, b, c } = picture.voltages;
  return decisive(a[bus] ?? null, b[bus] ?? null, c[bus] ?? null);
}

function drawLines(
  ctx: CanvasRenderingContext2D, scene: Scene, voltages: (number | null)[], at: (bus: number) => Point,
): void {
  ctx.lineCap = 'round';
  const width = (loading: number | null) => (loading === null ? 1.2 : 1.2 + 5 * Math.min(1, Math.max(0, loading)));
  // First the edges of highly loaded lines, so that none covers a neighbour's core.
  scene.network.branches.forEach((branch, index) => {
    const loading = scene.picture.branch_loading[index] ?? null;
    if (branch.kind === 'transformer' || loading === null || loading <= LOADING_HIGH) return;
    stroke(ctx, at(branch.from), at(branch.to), loading > 1 ? ALARM : WARNING, width(loading) + 5, []);
  });
  scene.network.branches.forEach((branch, index) => {
    if (branch.kind === 'transformer') return;
    const loading = scene.picture.branch_loading[index] ?? null;
    const voltage = voltages[branch.to] ?? null;
    const [from, to] = [at(branch.from), at(branch.to)];
    if (voltage === null) return hatchedLine(ctx, from, to);
    stroke(ctx, from, to, voltageColour(voltage), width(loading), []);
  });
}

function stroke(
  ctx: CanvasRenderingContext2D, from: Point, to: Point, colour: string, width: number, dash: number[],
): void {
  ctx.setLineDash(dash);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.beginPath();
  ctx.moveTo(from.x, from.y);
  ctx.lineTo(to.x, to.y);
  ctx.stroke();
  ctx.setLineDash([]);
}

function drawBuses(
  ctx: CanvasRenderingContext2D, scene: Scene, voltages: (number | null)[], at: (bus: number) => Point,
): void {
  const flexible = new Set(scene.network.usage_points.filter((u) => u.devices.length > 0).map((u) => u.bus));
  for (const bus of new Set(scene.network.usage_points.map((u) => u.bus))) {
    const voltage = voltages[bus] ?? null;
    const place = at(bus);
    const radius = flexible.has(bus) ? 5 : 3.5;
    ctx.fillStyle = voltageColour(voltage);
    shape(ctx, place, radius, voltageState(voltage));
    if (voltage === null) {
      hatchedShape(ctx);
      continue;
    }
    ctx.fill();
    if (!flexible.has(bus)) continue;
    ctx.fillStyle = '#181b1f';
    circle(ctx, place, 1.8);
    ctx.fill();
  }
}

/** ▼ below the limits, ▲ above them, ● inside. */
function shape(ctx: CanvasRenderingContext2D, at: Point, radius: number, state: string): void {
  if (state !== 'low' && state !== 'high') return circle(ctx, at, radius);
  const up = state === 'high' ? -1 : 1;
  const r = radius * 1.45;
  ctx.beginPath();
  ctx.moveTo(at.x, at.y + up * r);
  ctx.lineTo(at.x - r, at.y - up * r * 0.7);
  ctx.lineTo(at.x + r, at.y - up * r * 0.7);
  ctx.closePath();
}

function circle(ctx: CanvasRenderingContext2D, at: Point, radius: number): void {
  ctx.beginPath();
  ctx.arc(at.x, at.y, radius, 0, 2 * Math.PI);
}

function drawTransformers(ctx: CanvasRenderingContext2D, scene: Scene, at: (bus: number) => Point): void {
  scene.network.branches.forEach((branch, index) => {
    if (branch.kind !== 'transformer') return;
    const [from, to] = [at(branch.from), at(branch.to)];
    const loading = scene.picture.branch_loading[index] ?? null;
    const colour = loading === null ? UNKNOWN_COLOUR : loading > 1 ? ALARM : loading >= 0.9 ? WARNING : '#aeb6bf';
    const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
    stroke(ctx, from, to, '#aeb6bf', 1.5, []);
    ctx.lineWidth = 2.5;
    for (const offset of [-6, 6]) {
      ctx.strokeStyle = colour;
      ctx.fillStyle = '#181b1f';
      circle(ctx, { x: middle.x, y: middle.y + offset }, 9);
      if (offset < 0) ctx.fill();
      ctx.stroke();
    }
    const percent = loading === null ? '– %' : `${(loading * 100).toFixed(0)} %`;
    const sign = loading !== null && loading > 1 ? '▲ ' : '';
    ctx.font = '600 15px system-ui, "DejaVu Sans", sans-serif';
    ctx.textBaseline = 'middle';
    const text = sign + percent;
    const x = Math.min(middle.x + 22, ctx.canvas.clientWidth - ctx.measureText(text).width - 8);
    ctx.fillStyle = 'rgb(24 27 31 / 80%)';
    ctx.fillRect(x - 4, middle.y - 11, ctx.measureText(text).width + 8, 22);
    ctx.fillStyle = loading !== null && loading >= 0.9 ? colour : TEXT;
    ctx.fillText(text, x, middle.y + 1);
  });
}
