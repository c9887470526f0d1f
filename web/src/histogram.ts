/** Counts of values in even bins, and which inputs a bin holds. */

import { axis, type Axis } from "./axis";
import type { Maybe } from "./page";

export interface Histogram {
  axis: Axis;
  bins: { from: number; to: number; inputs: number[] }[];
  missing: number[];
  tallest: number;
}

/** Null where nothing was measured. */
export function histogram(values: readonly Maybe[], decades: boolean, size = 32): Histogram | null {
  const known = values.filter((v): v is number => v !== null && Number.isFinite(v));
  if (!known.length) return null;
  const positive = known.filter((v) => v > 0);
  const log = decades && positive.length > 0;
  let low = log ? Math.min(...positive) : Math.min(...known);
  let high = Math.max(...known);
  if (!(high > low)) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const across = axis(low, high, 0, size, log);
  const bins = Array.from({ length: size }, (_, n) => ({ from: across.at(n), to: across.at(n + 1), inputs: [] as number[] }));
  const missing: number[] = [];
  values.forEach((value, input) => {
    if (value === null || !Number.isFinite(value)) missing.push(input);
    else bins[Math.min(size - 1, Math.floor(across(value)))]?.inputs.push(input);
  });
  return { axis: across, bins, missing, tallest: Math.max(...bins.map((bin) => bin.inputs.length)) };
}
