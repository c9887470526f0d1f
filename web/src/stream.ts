/** Columns that come while a network trains: the last ones, and the range of their values. */

import type { Maybe, Message } from "./page";
import { finite } from "./words";

export type Column = Extract<Message, { type: "column" }>;

/** Keeps the last `most` columns. */
export class Stream {
  readonly columns: Column[] = [];

  constructor(private readonly most = 4096) {}

  add(columns: readonly Column[]): void {
    this.columns.push(...columns);
    if (this.columns.length > this.most) this.columns.splice(0, this.columns.length - this.most);
  }

  last(many: number): readonly Column[] {
    return many > 0 ? this.columns.slice(-many) : [];
  }
}

export interface Range {
  low: number;
  high: number;
}

/** Widened where a value lies outside, with room, so that it is not widened at every step. */
export function widened(range: Range | null, values: readonly Maybe[], decades: boolean): Range | null {
  const known = values.filter((value): value is number => finite(value) && (!decades || value > 0));
  if (!known.length) return range;
  const [least, most] = [Math.min(...known), Math.max(...known)];
  if (range && least >= range.low && most <= range.high) return range;
  const low = Math.min(least, range?.low ?? Infinity);
  const high = Math.max(most, range?.high ?? -Infinity);
  if (decades) return { low: least < (range?.low ?? Infinity) ? low / 3 : low, high: most > (range?.high ?? -Infinity) ? high * 3 : high };
  const room = 0.2 * (high - low) || 0.1 * Math.abs(high) || 1;
  return {
    low: least < (range?.low ?? Infinity) ? (low >= 0 ? Math.max(0, low - room) : low - room) : low,
    high: most > (range?.high ?? -Infinity) ? high + room : high,
  };
}

/** Where a value lies in a range, 0 to 1; null where it is not measured or not finite. */
export function partOf(value: Maybe | undefined, range: Range, decades: boolean): Maybe {
  if (!finite(value) || (decades && value < 0)) return null;
  if (!(range.high > range.low)) return 0.5;
  if (!decades) return (value - range.low) / (range.high - range.low);
  return value === 0 ? 0 : Math.max(0, Math.log(value / range.low) / Math.log(range.high / range.low));
}
