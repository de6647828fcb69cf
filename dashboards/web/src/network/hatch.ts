// Hatching: what is not observable is never drawn as if it had a value.

import type { Point } from './plan';
import { UNKNOWN_COLOUR } from './voltage';

const GROUND = '#181b1f';
const patterns = new WeakMap<CanvasRenderingContext2D, CanvasPattern>();

/** Diagonal stripes on the page's ground; made once per canvas. */
export function hatching(ctx: CanvasRenderingContext2D): CanvasPattern | string {
  const known = patterns.get(ctx);
  if (known !== undefined) return known;
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const pen = tile.getContext('2d');
  if (pen === null) return GROUND;
  pen.fillStyle = GROUND;
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = UNKNOWN_COLOUR;
  pen.lineWidth = 1.5;
  for (const offset of [-6, 0, 6]) {
    pen.beginPath();
    pen.moveTo(offset - 1, 7);
    pen.lineTo(offset + 7, -1);
    pen.stroke();
  }
  const pattern = ctx.createPattern(tile, 'repeat');
  if (pattern === null) return GROUND;
  patterns.set(ctx, pattern);
  return pattern;
}

/** A line as a hatched band with thin edges. */
export function hatchedLine(ctx: CanvasRenderingContext2D, from: Point, to: Point): void {
  for (const [style, width] of [[UNKNOWN_COLOUR, 7], [hatching(ctx), 5]] as const) {
    ctx.strokeStyle = style;
    ctx.lineWidth = width;
    ctx.beginPath();
    ctx.moveTo(from.x, from.y);
    ctx.lineTo(to.x, to.y);
    ctx.stroke();
  }
}

/** Fills the present path with the hatching and edges it. */
export function hatchedShape(ctx: CanvasRenderingContext2D): void {
  ctx.fillStyle = hatching(ctx);
  ctx.fill();
  ctx.strokeStyle = UNKNOWN_COLOUR;
  ctx.lineWidth = 1.2;
  ctx.stroke();
}
