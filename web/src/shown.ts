/** What the maps show now: the chosen statistic at the chosen moment, or how it differs from another moment. */

import { code, field, type Field, valueOf } from "./grids";
import type { Atlas, Grid, Moment } from "./page";
import type { Selection } from "./store";

export interface Shown extends Field {
  moment: Moment;
  against: Moment | null;
  /** The part of the range in which the colours change; beyond it they stay. */
  reach: number;
}

export function momentOf(atlas: Atlas, selection: Selection): number {
  const last = atlas.moments.length - 1;
  return Math.min(last, selection.moment ?? last);
}

/** The grid of the chosen statistic; the first one where none is chosen or it is not there. */
export function gridOf(moment: Moment | undefined, statistic: string | null): Grid | null {
  return moment?.grids.find((grid) => grid.name === statistic) ?? moment?.grids[0] ?? null;
}

const differences = new WeakMap<Field, WeakMap<Field, Field & { reach: number }>>();

/** Null where the page has no numbers for a map. */
export async function shown(atlas: Atlas, selection: Selection): Promise<Shown | null> {
  const moment = atlas.moments[momentOf(atlas, selection)];
  const grid = gridOf(moment, selection.statistic);
  if (!moment || !grid) return null;
  const now = await field(grid);
  const other = selection.against === null ? undefined : atlas.moments[selection.against];
  const before = other?.grids.find((one) => one.name === grid.name);
  if (!other || !before || other === moment || before.rows !== grid.rows || before.columns !== grid.columns)
    return { ...now, moment, against: null, reach: 1 };
  const then = await field(before);
  let of = differences.get(now);
  if (!of) differences.set(now, (of = new WeakMap()));
  let found = of.get(then);
  if (!found) of.set(then, (found = difference(now, then, other.label)));
  return { ...found, moment, against: other };
}

const MISSING = 65535;

/** Now minus then; of a logarithmic statistic how often tenfold; of classes those that are others now. */
export function difference(now: Field, then: Field, than: string): Field & { reach: number } {
  const size = now.rows * now.columns;
  const codes = new Uint16Array(size).fill(MISSING);
  const base = { rows: now.rows, columns: now.columns, missing: MISSING };
  const words = { ...now.grid, bits: 16 as const, data: "", label: `${now.grid.label}, change since ${than}` };
  if (now.grid.kind === "category") {
    for (let n = 0; n < size; n++) {
      const [a, b] = [now.codes[n] as number, then.codes[n] as number];
      if (a !== b && a < now.missing && b < then.missing) codes[n] = a;
    }
    return { ...base, codes, grid: { ...words, meaning: `Where it is another one than at ${than}; elsewhere the map is empty.` }, reach: 1 };
  }
  const decades = now.grid.scale === "log";
  const values = new Float64Array(size).fill(Number.NaN);
  let most = 0;
  for (let n = 0; n < size; n++) {
    const a = valueOf(now.grid, now.codes[n] as number);
    const b = valueOf(then.grid, then.codes[n] as number);
    if (a === null || b === null) continue;
    const apart = decades ? Math.log10(a / b) : a - b;
    if (!Number.isFinite(apart)) continue;
    values[n] = apart;
    most = Math.max(most, Math.abs(apart));
  }
  const high = most || 1;
  for (let n = 0; n < size; n++) {
    const value = values[n] as number;
    if (!Number.isNaN(value)) codes[n] = Math.round(((value / high + 1) / 2) * (MISSING - 1));
  }
  const usual = high * usualPart(values, high);
  return {
    ...base,
    codes,
    grid: {
      ...words,
      kind: "diverging",
      scale: "linear",
      low: -high,
      high,
      unit: decades ? "powers of ten" : now.grid.unit,
      meaning: `${now.grid.meaning} ${decades ? "Shown is by how many powers of ten it is more or less" : "Shown is how much it is more or less"} than at ${than}.`,
    },
    reach: Math.max(0.02, usual / high),
  };
}

/** Below which part of the largest change 99 % of the changes stay. */
function usualPart(values: Float64Array, high: number): number {
  const counts = new Uint32Array(1001);
  let changes = 0;
  for (const value of values) {
    if (!value) continue; // 0 and what was not measured
    const part = Math.ceil((1000 * Math.abs(value)) / high);
    counts[part] = (counts[part] ?? 0) + 1;
    changes++;
  }
  let below = 0;
  const part = counts.findIndex((many) => (below += many) >= 0.99 * changes && changes > 0);
  return part < 1 ? 1 : part / 1000;
}

/** The values of one row, or null each where it was not measured. */
export function rowValues(of: Field, row: number): (number | null)[] {
  return Array.from({ length: of.columns }, (_, column) => valueOf(of.grid, code(of, row, column)));
}
