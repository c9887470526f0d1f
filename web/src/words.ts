/** How numbers are said: the same words as in the terminal (`netwright/views/words.py`). */

import type { Layer, Maybe, Row } from "./page";

export function finite(value: Maybe | undefined): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

/** `1,797`. */
export function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `1 seed`, `5 seeds`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** `1.1e-2`. */
export function exponent(value: Maybe | undefined, places = 1): string {
  return finite(value) ? value.toExponential(places).replace("e+", "e") : "";
}

/** Any number with three digits that count: `0.0042`, `12.5`, `1,797`, `3.2e-7`. */
export function number(value: Maybe | undefined): string {
  if (value === null || value === undefined) return "not measured";
  if (!Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (Number.isInteger(value) && size < 1e7) return sign + count(size);
  if (size >= 1e-3 && size < 1000) return sign + String(Number(size.toPrecision(3)));
  if (size >= 1000 && size < 1e7) return sign + count(size);
  return sign + exponent(size, 2);
}

/** `+0.85`. */
export function signed(value: Maybe | undefined, places = 2): string {
  if (!finite(value)) return "";
  const [whole = "0", rest] = Math.abs(value).toFixed(places).split(".");
  return `${value < 0 ? "−" : "+"}${count(Number(whole))}${rest === undefined ? "" : `.${rest}`}`;
}

/** `61 %`; a share that is there and rounds to nothing is `<1 %`. */
export function share(value: Maybe | undefined): string {
  if (!finite(value)) return "";
  if (value > 0 && value < 0.005) return "<1 %";
  if (value >= 0.995 && value < 1) return ">99 %";
  return `${(100 * value).toFixed(0)} %`;
}

/** `1×8×8`; a single number per sample is `1`. */
export function shape(sizes: readonly number[] | null): string {
  return sizes === null ? "" : sizes.join("×") || "1";
}

/** `1×8×8 → 16×6×6`, said once where nothing changes. */
export function shapes(given: readonly number[] | null, made: readonly number[] | null): string {
  const from = shape(given);
  const to = shape(made);
  return from && to && from !== to ? `${from} → ${to}` : to || from;
}

/** In millions: `0.10`, `<0.01`, `3,870`; empty where there are none or they were not counted. */
export function megaflops(flops: Maybe): string {
  if (!flops) return "";
  const millions = flops / 1e6;
  return millions < 0.005 ? "<0.01" : millions >= 100 ? count(millions) : millions.toFixed(2);
}

export function bytes(value: Maybe): string {
  if (!finite(value)) return "";
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${number(value / 1e3)} kB`;
  return value < 1e9 ? `${number(value / 1e6)} MB` : `${number(value / 1e9)} GB`;
}

export function duration(seconds: Maybe): string {
  if (!finite(seconds)) return "";
  if (seconds < 1e-3) return `${number(seconds * 1e6)} µs`;
  return seconds < 1 ? `${number(seconds * 1e3)} ms` : `${number(seconds)} s`;
}

/** `digits.py:17`. */
export function source(layer: Layer): string {
  if (!layer.file) return "";
  const file = layer.file.split(/[\\/]/).pop() ?? layer.file;
  return layer.line ? `${file}:${layer.line}` : file;
}

/** `Conv2d conv1`, `relu (second time)`. */
export function rowName(row: Row): string {
  const name = row.name && row.name !== row.kind ? `${row.kind} ${row.name}` : row.kind;
  return row.call > 1 ? `${name} (call ${row.call})` : name;
}


/** `a, b and c`; long lists say how much of them is shown. */
export function listed(parts: readonly string[], most = 8): string {
  if (parts.length > most) return `${parts.slice(0, most).join(", ")} (first ${most} of ${count(parts.length)})`;
  if (parts.length < 2) return parts[0] ?? "none";
  return `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

/** How many decimals tell these numbers apart: two for scores, more for what lies closer together. */
export function decimals(...values: readonly (Maybe | undefined)[]): number {
  const known = values.filter(finite);
  if (!known.length) return 2;
  const largest = Math.max(...known.map(Math.abs));
  const spread = Math.max(...known) - Math.min(...known);
  if (largest >= 1000) return 0;
  const apart = spread > 0 ? spread : largest;
  const needed = apart > 0 ? Math.ceil(-Math.log10(apart) - 0.05) : 0;
  return Math.min(6, Math.max(largest >= 100 ? 1 : 2, needed));
}
