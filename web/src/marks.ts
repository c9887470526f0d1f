/** What lies over the map: the selection, the cell, the pointer, and the depth of beliefs. */

import { stretches } from "./bins";
import type { Cell } from "./cursor";
import { type Frame, STRIP } from "./frame";
import type { Line } from "./lines";
import type { Theme } from "./sheet";

export interface Marks {
  rows: readonly number[];
  inputs: readonly number[];
  cell: Cell | null;
  hovered: Cell | null;
  lines: readonly Line[];
  lineOfRow: Int32Array;
  /** Where each input stands. */
  places: Int32Array;
  order: readonly number[];
  /** Where beliefs become right; null where that is not to be seen. */
  depths: readonly number[] | null;
}

export function drawMarks(context: CanvasRenderingContext2D, at: Frame, marks: Marks, t: Theme): void {
  const { rows, inputs, hovered } = marks;
  context.save();
  context.beginPath();
  context.rect(at.gutter - 5, at.top - 8, at.mapWidth + 10, at.mapHeight + STRIP + 8);
  context.clip();
  if (marks.depths) depths(context, at, marks, marks.depths, t);
  if (inputs.length > 1 || rows.length > 1) veil(context, at, marks, t);
  for (const [from, end] of columnRuns(inputs, marks.places)) {
    const [x1, x2] = [at.x(from), at.x(end)];
    context.fillStyle = t.ink;
    if (inputs.length > 1) context.fillRect(x1, at.top - 3, Math.max(1, x2 - x1), 3);
    else {
      outline(context, t, x1, at.top, x2 - x1, at.mapHeight);
      const x = (x1 + x2) / 2;
      context.beginPath();
      context.moveTo(x - 5, at.top - 7);
      context.lineTo(x + 5, at.top - 7);
      context.lineTo(x, at.top);
      context.fill();
    }
  }
  if (rows.length === 1 || inputs.length <= 1)
    for (const index of new Set(rows.map((row) => marks.lineOfRow[row] ?? 0))) outline(context, t, at.gutter, at.y(index), at.mapWidth, at.tall);
  if (marks.cell) {
    const [wide, tall] = [Math.max(7, at.wide), Math.max(7, at.tall)];
    const [x, y] = [at.x(marks.cell.column + 0.5) - wide / 2, at.y(marks.cell.line + 0.5) - tall / 2];
    for (const [width, colour] of [[5, t.paper], [2, t.ink]] as const) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.strokeRect(x, y, wide, tall);
    }
  }
  if (hovered) {
    context.globalAlpha = 0.55;
    outline(context, t, at.x(hovered.column), at.y(hovered.line), Math.max(2, at.wide), at.tall);
    context.globalAlpha = 1;
  }
  context.restore();
}

function outline(context: CanvasRenderingContext2D, t: Theme, x: number, y: number, width: number, height: number): void {
  context.lineWidth = 3;
  context.strokeStyle = t.paper;
  context.strokeRect(x, y, width, height);
  context.lineWidth = 1;
  context.strokeStyle = t.ink;
  context.strokeRect(x, y, width, height);
}

/** What is not chosen steps back. */
function veil(context: CanvasRenderingContext2D, at: Frame, { rows, inputs, places, lines }: Marks, t: Theme): void {
  context.fillStyle = t.paper;
  context.globalAlpha = 0.62;
  if (inputs.length > 1) {
    const { left, right } = at.window;
    let from = left;
    for (const [first, end] of [...columnRuns(inputs, places), [right, right] as const]) {
      if (first > from) context.fillRect(at.x(from), at.top, at.x(Math.min(first, right)) - at.x(from), at.mapHeight);
      from = Math.max(from, end);
    }
  }
  if (rows.length > 1) {
    const chosen = new Set(rows);
    lines.forEach((line, index) => {
      if (!line.rows.some((row) => chosen.has(row))) context.fillRect(at.gutter, at.y(index), at.mapWidth, at.tall);
    });
  }
  context.globalAlpha = 1;
}

/** Neighbouring columns of some inputs, from left to right: each from its first to after its last. */
export function columnRuns(inputs: readonly number[], places: Int32Array): [number, number][] {
  const chosen = inputs.map((input) => places[input] ?? -1).filter((place) => place >= 0).sort((a, b) => a - b);
  const found: [number, number][] = [];
  for (const place of chosen) {
    const last = found[found.length - 1];
    if (last && last[1] === place) last[1] = place + 1;
    else found.push([place, place + 1]);
  }
  return found;
}

/** A line through the columns at the row from which on the belief is right; a tick beneath where it never is. */
function depths(context: CanvasRenderingContext2D, at: Frame, { lineOfRow, order }: Marks, all: readonly number[], t: Theme): void {
  const path = new Path2D();
  const never = new Path2D();
  for (const [from, to] of stretches(at.seen.first, at.seen.end, at.mapWidth)) {
    let [depth, lost] = [-1, false];
    for (let place = from; place < to; place++) {
      const here = all[order[place] as number] ?? -1;
      if (here < 0) lost = true;
      else depth = Math.max(depth, lineOfRow[here] ?? 0);
    }
    const [x1, x2] = [at.x(from), at.x(to)];
    const y = Math.max(at.top + 1, at.y(depth));
    if (depth >= 0 && y < at.bottom && at.y(depth + 1) > at.top) {
      path.moveTo(x1, y);
      path.lineTo(x2, y);
    }
    if (lost) never.rect(x1, at.bottom + 4, Math.max(1, x2 - x1 - (x2 - x1 > 3 ? 1 : 0)), STRIP - 6);
  }
  for (const [width, colour] of [[3.5, t.paper], [1.5, t.ink]] as const) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
  context.fillStyle = t.bad;
  context.fill(never);
}
