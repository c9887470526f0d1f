/** The lines of the map: a row each, or a folded module with all its rows. */

import type { Row } from "./page";

export interface Line {
  /** Rows of the atlas that stand in this line, in execution order. */
  rows: number[];
  /** The module that is folded here; null for a single row. */
  module: string | null;
}

/** A module that is unfolded, from its first line to its last. */
export interface Span {
  module: string;
  level: number;
  first: number;
  last: number;
}

/** `layer1.0` stands in `layer1` and in `layer1.0`. */
export function ancestors(parent: string): string[] {
  if (!parent) return [];
  const parts = parent.split(".");
  return parts.map((_, n) => parts.slice(0, n + 1).join("."));
}

export function lines(rows: readonly Row[], folded: readonly string[]): Line[] {
  const closed = new Set(folded);
  const found: Line[] = [];
  rows.forEach((row, index) => {
    const module = closed.size ? (ancestors(row.parent).find((name) => closed.has(name)) ?? null) : null;
    const before = found[found.length - 1];
    if (module !== null && before?.module === module) before.rows.push(index);
    else found.push({ rows: [index], module });
  });
  return found;
}

export function spans(rows: readonly Row[], shown: readonly Line[]): Span[] {
  const open: Span[] = [];
  const found: Span[] = [];
  shown.forEach((line, index) => {
    const first = line.rows[0];
    const inside = ancestors(first === undefined ? "" : (rows[first]?.parent ?? ""));
    const modules = line.module === null ? inside : inside.slice(0, inside.indexOf(line.module));
    while (open.length && open[open.length - 1]?.module !== modules[open.length - 1]) open.pop();
    for (const span of open) span.last = index;
    for (let level = open.length; level < modules.length; level++) {
      const span = { module: modules[level] as string, level, first: index, last: index };
      open.push(span);
      found.push(span);
    }
  });
  return found;
}

/** The modules at the top that have more than one row. */
export function outermost(rows: readonly Row[]): string[] {
  const sizes = new Map<string, number>();
  for (const row of rows) {
    const [top] = ancestors(row.parent);
    if (top !== undefined) sizes.set(top, (sizes.get(top) ?? 0) + 1);
  }
  return [...sizes].filter(([, size]) => size > 1).map(([module]) => module);
}

export function lineOf(shown: readonly Line[], row: number): number {
  return shown.findIndex((line) => line.rows.includes(row));
}

/** A module closes, or opens again. */
export function toggled(folded: readonly string[], module: string): string[] {
  return folded.includes(module) ? folded.filter((other) => other !== module) : [...folded, module];
}
