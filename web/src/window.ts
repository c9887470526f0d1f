/** The part of a map that is seen: zooming around a place, moving, keeping a cell in sight. */

import type { Zoom } from "./store";

export function whole(columns: number, lines: number): Zoom {
  return { left: 0, right: Math.max(1, columns), top: 0, bottom: Math.max(1, lines) };
}

const LEAST_COLUMNS = 8;
const LEAST_LINES = 6;

/** Nearer by `factor` (over 1) or further, with the place under the pointer staying where it is; null is the whole. */
export function zoomed(now: Zoom, factor: number, column: number, line: number, columns: number, lines: number): Zoom | null {
  const [left, right] = stretch(now.left, now.right, factor, column, columns, Math.min(LEAST_COLUMNS, columns));
  const [top, bottom] = stretch(now.top, now.bottom, factor, line, lines, Math.min(LEAST_LINES, lines));
  return fitted({ left, right, top, bottom }, columns, lines);
}

function stretch(from: number, to: number, factor: number, at: number, size: number, least: number): [number, number] {
  const width = Math.max(least, Math.min(size, (to - from) / factor));
  const part = to > from ? (at - from) / (to - from) : 0.5;
  return [at - part * width, at + (1 - part) * width];
}

export function moved(now: Zoom, across: number, down: number, columns: number, lines: number): Zoom | null {
  return fitted(
    { left: now.left + across, right: now.right + across, top: now.top + down, bottom: now.bottom + down },
    columns,
    lines,
  );
}

/** Inside of the map; null where it is all of it. */
export function fitted(zoom: Zoom, columns: number, lines: number): Zoom | null {
  const [left, right] = inside(zoom.left, zoom.right, Math.max(1, columns));
  const [top, bottom] = inside(zoom.top, zoom.bottom, Math.max(1, lines));
  const all = left <= 0.01 && right >= columns - 0.01 && top <= 0.01 && bottom >= lines - 0.01;
  return all ? null : { left, right, top, bottom };
}

function inside(from: number, to: number, size: number): [number, number] {
  const width = Math.min(size, Math.max(1, to - from));
  const start = Math.min(size - width, Math.max(0, from));
  return [start, start + width];
}

/** Moved as little as it takes to show a cell. */
export function showing(now: Zoom, column: number, line: number, columns: number, lines: number): Zoom | null {
  const across = column < now.left ? column - now.left : column + 1 > now.right ? column + 1 - now.right : 0;
  const down = line < now.top ? line - now.top : line + 1 > now.bottom ? line + 1 - now.bottom : 0;
  return moved(now, across, down, columns, lines);
}
