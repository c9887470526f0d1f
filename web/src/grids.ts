/** Numbers as they travel: codes of 8 or 16 bits, raw deflate, base64. */

import type { Grid, Maybe } from "./page";

/** A statistic of every row for every input, unpacked. */
export interface Field {
  grid: Grid;
  rows: number;
  columns: number;
  codes: Uint8Array | Uint16Array;
  /** The code that says "not measured"; it is one above the largest that is a value. */
  missing: number;
}

const fields = new WeakMap<Grid, Promise<Field>>();

/** Unpacks a grid once. */
export function field(grid: Grid): Promise<Field> {
  let known = fields.get(grid);
  if (!known) {
    known = unpacked(grid);
    fields.set(grid, known);
  }
  return known;
}

async function unpacked(grid: Grid): Promise<Field> {
  const size = grid.rows * grid.columns * (grid.bits / 8);
  const bytes = await inflated(grid.data, size);
  const codes = grid.bits === 8 ? bytes : words16(bytes);
  return { grid, rows: grid.rows, columns: grid.columns, codes, missing: grid.bits === 8 ? 255 : 65535 };
}

function words16(bytes: Uint8Array): Uint16Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const codes = new Uint16Array(bytes.byteLength / 2);
  for (let n = 0; n < codes.length; n++) codes[n] = view.getUint16(2 * n, true);
  return codes;
}

export function code(field: Field, row: number, column: number): number {
  return field.codes[row * field.columns + column] ?? field.missing;
}

/** The value of a code; null where it was not measured. */
export function valueOf(grid: Grid, code: number): Maybe {
  const missing = grid.bits === 8 ? 255 : 65535;
  if (code >= missing) return null;
  if (grid.kind === "category") return code;
  const part = code / (missing - 1);
  if (grid.scale === "log" && grid.low > 0) return grid.low * (grid.high / grid.low) ** part;
  return grid.low + part * (grid.high - grid.low);
}

export function value(field: Field, row: number, column: number): Maybe {
  return valueOf(field.grid, code(field, row, column));
}

/** The bytes of raw deflate in base64; fails where they are not exactly `size`, and never keeps more. */
export async function inflated(data: string, size: number): Promise<Uint8Array> {
  const text = atob(data);
  const packed = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) packed[n] = text.charCodeAt(n);
  const stream = new DecompressionStream("deflate-raw");
  const writer = stream.writable.getWriter();
  writer.write(packed).catch(() => undefined); // the reader tells of it
  writer.close().catch(() => undefined);
  const reader = stream.readable.getReader();
  const bytes = new Uint8Array(size);
  let filled = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (filled + value.length > size) {
      await reader.cancel();
      throw new RangeError(`more than the ${size} bytes that were announced`);
    }
    bytes.set(value, filled);
    filled += value.length;
  }
  if (filled !== size) throw new RangeError(`${filled} of the ${size} bytes that were announced`);
  return bytes;
}
