import type uPlot from 'uplot';
import { date, midnights, millis } from '../format/time';
import type { Transformer } from '../live/picture';

const SLOT_SECONDS = 900;
const SERIES = 6;

/**
 * Columns: time, measured, estimated, without flexibility as reckoned, expected, exceeded with 10 % probability,
 * expected without flexibility; in percent.
 */
export type Columns = [number[], ...(number | null | undefined)[][]];

/**
 * One aligned table for the chart. A gap in the data is `null` and stays a gap; a row in which a series has
 * nothing to say (the past for a forecast) is `undefined` and does not break its line.
 */
export function columns(transformer: Transformer): Columns {
  const rows = new Map<number, (number | null | undefined)[]>();
  const row = (time: number) => {
    const known: (number | null | undefined)[] = rows.get(time) ?? Array.from({ length: SERIES }, () => undefined);
    rows.set(time, known);
    return known;
  };
  const percent = (kva: number | null) => (kva === null ? null : (kva / transformer.rated_kva) * 100);
  for (const entry of transformer.history) {
    const time = millis(entry.at);
    if (time === null) continue;
    const target = row(time / 1000);
    target[0] = percent(entry.measured_kva);
    target[1] = percent(entry.estimated_kva);
    if (entry.without_flex_kva !== null) target[2] = percent(entry.without_flex_kva);
  }
  const last = transformer.outlook.at(-1);
  const outlook = last === undefined ? [] : [...transformer.outlook, null];
  for (const entry of outlook) {
    const start = millis((entry ?? last)?.slot_start);
    if (start === null) continue;
    const slot = entry ?? last;
    // The end of the last slot repeats its value, so that the step has its full width.
    const target = row(start / 1000 + (entry === null ? SLOT_SECONDS : 0));
    if (slot == null) continue;
    target[3] = slot.loading * 100;
    target[4] = slot.loading_p90 * 100;
    if (slot.loading_without_flex !== null) target[5] = slot.loading_without_flex * 100;
  }
  const times = [...rows.keys()].sort((a, b) => a - b);
  const series = Array.from({ length: SERIES }, (_, index) => times.map((time) => rows.get(time)?.[index]));
  return [times, ...series];
}

/** Top of the scale, percent: holds all that is shown, at least 120, in steps of 20, so that it seldom jumps. */
export function top(data: Columns, from = -Infinity, to = Infinity): number {
  let largest = 0;
  const [times, ...columns] = data;
  for (const series of columns) {
    series.forEach((value, row) => {
      const time = times[row] ?? 0;
      if (time >= from && time <= to) largest = Math.max(largest, value ?? 0);
    });
  }
  return Math.max(120, Math.ceil((largest + 4) / 20) * 20);
}

/** The span shown, seconds since the epoch: some past, at first only as much as there is, and the next hours. */
export function span(data: Columns, now: number, pastHours: number, nextHours: number): [number, number] {
  const oldest = data[0][0] ?? now;
  const past = Math.min(pastHours * 3600, Math.max(3600, now - oldest + SLOT_SECONDS));
  return [now - past, now + nextHours * 3600];
}

/** Draws the limit, the present instant and the change of the day over a chart. */
export function marks(nowSeconds: () => number, zone: () => string): uPlot.Plugin {
  return {
    hooks: {
      draw: (chart) => {
        const { ctx, bbox } = chart;
        ctx.save();
        ctx.textAlign = 'left';
        ctx.textBaseline = 'alphabetic';
        ctx.lineWidth = devicePixelRatio;
        const limit = Math.round(chart.valToPos(100, 'y', true));
        ctx.strokeStyle = '#ff5f57';
        ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
        line(ctx, bbox.left, limit, bbox.left + bbox.width, limit);
        days(chart, zone());
        const now = Math.round(chart.valToPos(nowSeconds(), 'x', true));
        if (now >= bbox.left && now <= bbox.left + bbox.width) {
          ctx.strokeStyle = '#949da8';
          ctx.setLineDash([]);
          line(ctx, now, bbox.top, now, bbox.top + bbox.height);
          ctx.fillStyle = '#949da8';
          ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
          ctx.fillText('now', now + 4 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
        }
        ctx.fillStyle = '#ff5f57';
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.fillText('limit 100 %', bbox.left + 4 * devicePixelRatio, limit - 4 * devicePixelRatio);
        ctx.restore();
      },
    },
  };
}

function days(chart: uPlot, zone: string): void {
  const { ctx, bbox } = chart;
  for (const midnight of midnights(chart.scales.x?.min ?? 0, chart.scales.x?.max ?? 0, zone)) {
    const x = Math.round(chart.valToPos(midnight, 'x', true));
    ctx.strokeStyle = '#6a727c';
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    line(ctx, x, bbox.top, x, bbox.top + bbox.height);
    ctx.fillStyle = '#b4bcc6';
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    const text = date(new Date(midnight * 1000).toISOString(), zone).slice(0, -5);
    const fits = x + ctx.measureText(text).width + 8 * devicePixelRatio < bbox.left + bbox.width;
    ctx.textAlign = fits ? 'left' : 'right';
    ctx.fillText(text, x + (fits ? 4 : -4) * devicePixelRatio, bbox.top + 24 * devicePixelRatio);
  }
  ctx.textAlign = 'left';
}

function line(ctx: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}
