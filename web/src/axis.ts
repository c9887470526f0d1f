/** Numbers to a stretch of a picture, straight or by decades, and the numbers beside it. */

import { count, exponent, number } from "./words";

export interface Axis {
  (value: number): number;
  low: number;
  high: number;
  start: number;
  end: number;
  decades: boolean;
  /** The number at a place of the picture. */
  at(place: number): number;
}

export function axis(low: number, high: number, start: number, end: number, decades = false): Axis {
  const scaled = (value: number): number => (decades ? Math.log10(Math.max(value, low)) : value);
  const [first, last] = [scaled(low), scaled(high)];
  const place = (value: number): number => {
    const part = last > first ? (scaled(value) - first) / (last - first) : 0.5;
    return start + Math.min(1, Math.max(0, part)) * (end - start);
  };
  const at = (where: number): number => {
    const part = end === start ? 0 : Math.min(1, Math.max(0, (where - start) / (end - start)));
    const found = first + part * (last - first);
    return decades ? 10 ** found : found;
  };
  return Object.assign(place, { low, high, start, end, decades, at });
}

export function ticks(low: number, high: number, decades = false, most = 5): number[] {
  if (!(high > low)) return [low];
  return decades && low > 0 ? decadeTicks(low, high, most) : roundTicks(low, high, most);
}

function decadeTicks(low: number, high: number, most: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const found: number[] = [];
  for (let n = first; n <= last; n++) {
    const tick = 10 ** n;
    if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) found.push(tick);
  }
  const every = Math.ceil(found.length / (most + 1));
  if (found.length > 1) return found.filter((_, n) => n % every === 0);
  // Within a decade: 1, 2, 5 and so on, else the ends.
  const inner = [first, first + 1, first + 2].flatMap((n) => [1, 2, 5].map((digit) => digit * 10 ** n)).filter((tick) => tick >= low && tick <= high);
  return inner.length > 1 ? inner : [low, high];
}

export function roundTicks(low: number, high: number, most = 5): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / most;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * ([1, 2, 5, 10].find((n) => n * unit >= raw * (1 - 1e-9)) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step || 0);
}

/** The whole numbers from 1 to `last` that an axis of epochs or steps names: both ends and round ones between. */
export function countTicks(last: number, most = 6): number[] {
  const inner = roundTicks(1, last, most).map(Math.round);
  if (last < 9) return [...new Set([1, ...inner, last])].sort((a, b) => a - b);
  return [1, ...inner.filter((tick) => tick > last * 0.06 && tick < last * 0.94), last];
}

export function tickWords(value: number, all: readonly number[], decades = false): string {
  if (decades) {
    if (value >= 1e-3 && value < 1e5) return number(value);
    return Math.abs(Math.log10(value) % 1) < 1e-9 ? `1e${Math.round(Math.log10(value))}` : exponent(value);
  }
  const largest = Math.max(...all.map(Math.abs));
  if (largest >= 1e5 || (largest > 0 && largest < 1e-4)) return value ? exponent(value).replace("-", "−") : "0";
  const step = all.length > 1 ? Math.abs((all[1] ?? 0) - (all[0] ?? 0)) : Math.abs(value) || 1;
  const places = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
  const [whole = "0", rest] = Math.abs(value).toFixed(places).split(".");
  return `${value < 0 ? "−" : ""}${count(Number(whole))}${rest === undefined ? "" : `.${rest}`}`;
}
