/** The names of the rows beside the map, in the brackets of their modules. */

import type { Line, Span } from "./lines";
import type { Finding, Layer, Page, Row } from "./page";
import { fitting, FONT, text, type Theme } from "./sheet";
import { rowName } from "./words";

export const BRACKET = 11;
const DEEPEST = 4;
const APART = 14;

export interface Gutter {
  lines: readonly Line[];
  spans: readonly Span[];
  /** The findings of each line. */
  found: readonly (readonly Finding[])[];
  rows: readonly Row[];
  width: number;
  /** Where a line begins, in pixels of the drawing. */
  top: (line: number) => number;
  /** The ends of the map. */
  first: number;
  last: number;
}

/** How many columns the brackets take. */
export function brackets(spans: readonly Span[]): number {
  return spans.reduce((most, span) => Math.max(most, Math.min(span.level + 1, DEEPEST)), 0);
}

export function spanAt(gutter: Gutter, x: number, line: number): Span | null {
  const level = Math.floor(x / BRACKET);
  return gutter.spans.find((span) => span.level === level && level < DEEPEST && line >= span.first && line <= span.last) ?? null;
}

/** The name of a row within its module: `Conv2d conv1`, where the module `layer1.0` is written beside. */
export function nameWithin(row: Row): string {
  const inside = row.parent && row.name.startsWith(`${row.parent}.`) ? row.name.slice(row.parent.length + 1) : row.name;
  return rowName({ ...row, name: inside });
}

export function lineName(line: Line, rows: readonly Row[]): string {
  const row = rows[line.rows[0] ?? 0];
  if (line.module !== null) return `${line.module}, ${line.rows.length} rows`;
  return row ? rowName(row) : "";
}

export function findingsOf(page: Page, line: Line): Finding[] {
  const rows = page.atlas?.rows ?? [];
  const ids = new Set(line.rows.flatMap((row) => (page.layers[rows[row]?.layer ?? -1] as Layer | undefined)?.findings ?? []));
  return page.findings.filter((finding) => ids.has(finding.id) && finding.status !== "refuted");
}

export function drawGutter(context: CanvasRenderingContext2D, gutter: Gutter, theme: Theme, chosen: ReadonlySet<number>): void {
  const inset = brackets(gutter.spans) * BRACKET;
  const middle = (line: number) => (gutter.top(line) + gutter.top(line + 1)) / 2;
  const tall = gutter.top(1) - gutter.top(0);
  context.save();
  context.beginPath();
  context.rect(0, gutter.first - 1, gutter.width, gutter.last - gutter.first + 2);
  context.clip();
  for (const span of gutter.spans) bracket(context, gutter, span, theme);
  context.restore();
  const taken: number[] = [];
  const free = (y: number) => y > gutter.first - 2 && y < gutter.last + 2 && taken.every((other) => Math.abs(other - y) >= Math.min(APART, Math.max(tall, 12)));
  const right = gutter.width - 14;
  const label = (line: number, said: string, x: number, colour: string, bold: boolean, y = middle(line)) => {
    if (!free(y)) return;
    taken.push(y);
    context.font = `${bold ? "600 " : ""}12px ${FONT}`;
    text(context, fitting(context, said, right - x), x, y, colour);
    context.font = `12px ${FONT}`;
  };
  const one = (index: number, colour: string, bold: boolean) => {
    const line = gutter.lines[index];
    const row = line && gutter.rows[line.rows[0] ?? 0];
    if (!line || !row) return;
    const level = line.module === null ? depth(row.parent) : depth(line.module) - 1;
    const x = tall < APART ? inset + 3 : Math.min(inset, Math.max(0, level) * BRACKET) + 3;
    if (line.module !== null) label(index, `▸ ${line.module} · ${line.rows.length} rows`, x, theme.soft, bold);
    else label(index, tall < APART && colour === theme.ink ? rowName(row) : nameWithin(row), x, colour, bold);
  };
  gutter.found.forEach((found, index) => {
    if (found.length && middle(index) > gutter.first && middle(index) < gutter.last)
      diamond(context, gutter.width - 7, middle(index), found.some((one) => one.status === "confirmed"), theme);
  });
  gutter.lines.forEach((line, index) => {
    if (line.rows.some((row) => chosen.has(row))) one(index, theme.ink, true);
  });
  if (tall < APART) {
    gutter.found.forEach((found, index) => {
      if (found.length) one(index, theme.ink, false);
    });
    for (const span of gutter.spans)
      if (gutter.top(span.last + 1) - gutter.top(span.first) >= APART)
        label(span.first, span.module, inset + 3, theme.soft, span.level === 0, Math.max(gutter.top(span.first), gutter.first) + 6);
  }
  gutter.lines.forEach((line, index) => (line.module !== null || tall >= 12) && one(index, theme.ink, false));
  if (tall >= APART) moduleNames(context, gutter, middle, right, theme);
  gutter.lines.forEach((_, index) => one(index, theme.faint, false));
}

/** Behind the first row of a module its name, where there is room. */
function moduleNames(context: CanvasRenderingContext2D, gutter: Gutter, middle: (line: number) => number, right: number, theme: Theme): void {
  const deepest = new Map(gutter.spans.map((span) => [span.first, span.module]));
  context.font = `11px ${FONT}`;
  for (const [index, module] of deepest) {
    const line = gutter.lines[index];
    const row = gutter.rows[line?.rows[0] ?? -1];
    const y = middle(index);
    if (!line || !row || y < gutter.first || y > gutter.last) continue;
    const taken = brackets(gutter.spans) * BRACKET + 3 + 1.12 * context.measureText(line.module === null ? nameWithin(row) : `▸ ${line.module} · ${line.rows.length} rows`).width;
    const room = right - taken - 12;
    if (context.measureText(module).width <= room) text(context, module, right, y, theme.faint, "right");
  }
}

function depth(parent: string): number {
  return parent ? parent.split(".").length : 0;
}

/** A line along a module's rows, with a mark at its head that says that it can be closed. */
function bracket(context: CanvasRenderingContext2D, gutter: Gutter, span: Span, theme: Theme): void {
  if (span.level >= DEEPEST) return;
  const x = span.level * BRACKET + 5;
  const from = Math.max(gutter.top(span.first) + 1, gutter.first);
  const to = Math.min(gutter.top(span.last + 1) - 1, gutter.last);
  if (to - from < 3) return;
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x + 0.5, from + (to - from > 11 ? 11 : 0));
  context.lineTo(x + 0.5, to - 0.5);
  context.lineTo(x + 4, to - 0.5);
  context.stroke();
  if (to - from <= 11) return;
  context.fillStyle = theme.faint;
  context.beginPath();
  context.moveTo(x - 3, from + 3);
  context.lineTo(x + 4, from + 3);
  context.lineTo(x + 0.5, from + 8);
  context.fill();
}

/** Full where a finding is confirmed, hollow where it is suspected. */
export function diamond(context: CanvasRenderingContext2D, x: number, y: number, full: boolean, theme: Theme): void {
  context.beginPath();
  context.moveTo(x, y - 4.5);
  context.lineTo(x + 4.5, y);
  context.lineTo(x, y + 4.5);
  context.lineTo(x - 4.5, y);
  context.closePath();
  context.fillStyle = full ? theme.bad : theme.paper;
  context.strokeStyle = full ? theme.bad : theme.warn;
  context.lineWidth = 1.5;
  context.fill();
  context.stroke();
}
