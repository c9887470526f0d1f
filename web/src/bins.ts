/** What a pixel shows: the smallest and the largest code of all cells that share it, or the most frequent class. */

import type { Field } from "./grids";

export interface Bins {
  width: number;
  height: number;
  /** Codes line by line; `missing` where nothing was measured. */
  low: Uint16Array;
  high: Uint16Array;
  /** Most inputs and most rows in one bin. */
  columnsEach: number;
  rowsEach: number;
}

/** `most` at the largest: bins of a stretch as [from, to) each, as even as whole numbers allow. */
export function stretches(from: number, to: number, most: number): [number, number][] {
  const size = to - from;
  const many = Math.max(1, Math.min(size, Math.floor(most)));
  return Array.from({ length: size > 0 ? many : 0 }, (_, n) => [
    from + Math.floor((n * size) / many),
    from + Math.floor(((n + 1) * size) / many),
  ]);
}

/**
 * Cells of `lines` (atlas rows each) and `columns` (inputs each) into bins.
 *
 * Of a category the class is the most frequent one over the columns, at the last of the rows: what is believed at the
 * end of a module.
 */
export function binned(field: Field, lines: readonly (readonly number[])[], columns: readonly (readonly number[])[]): Bins {
  const [width, height] = [columns.length, lines.length];
  const low = new Uint16Array(width * height).fill(field.missing);
  const high = new Uint16Array(width * height).fill(field.missing);
  const columnsEach = columns.reduce((most, bin) => Math.max(most, bin.length), 0);
  const rowsEach = lines.reduce((most, bin) => Math.max(most, bin.length), 0);
  const category = field.grid.kind === "category";
  const { codes, missing } = field;
  const votes = new Map<number, number>();
  for (let y = 0; y < height; y++) {
    const rows = lines[y] as readonly number[];
    for (let x = 0; x < width; x++) {
      const inputs = columns[x] as readonly number[];
      const at = y * width + x;
      if (category) {
        const last = rows[rows.length - 1] as number;
        const code = inputs.length === 1 ? codes[last * field.columns + (inputs[0] as number)] : frequent(field, last, inputs, votes);
        low[at] = high[at] = code ?? missing;
        continue;
      }
      let [least, most] = [missing, -1];
      for (const row of rows) {
        const start = row * field.columns;
        for (const input of inputs) {
          const code = codes[start + input] as number;
          if (code >= missing) continue;
          if (code < least) least = code;
          if (code > most) most = code;
        }
      }
      low[at] = least;
      high[at] = most < 0 ? missing : most;
    }
  }
  return { width, height, low, high, columnsEach, rowsEach };
}

function frequent(field: Field, row: number, inputs: readonly number[], votes: Map<number, number>): number {
  votes.clear();
  let [best, most] = [field.missing, 0];
  for (const input of inputs) {
    const code = field.codes[row * field.columns + input] ?? field.missing;
    if (code === field.missing) continue;
    const many = (votes.get(code) ?? 0) + 1;
    votes.set(code, many);
    if (many > most) [best, most] = [code, many];
  }
  return best;
}

/** What is said on the screen where not every cell has its own pixels. */
export function aggregated(bins: Bins, category: boolean): string {
  const parts: string[] = [];
  if (bins.columnsEach > 1) parts.push(`up to ${bins.columnsEach} inputs`);
  if (bins.rowsEach > 1) parts.push(`up to ${bins.rowsEach} rows`);
  if (!parts.length) return "";
  const how = category
    ? "the most frequent class is drawn"
    : "the upper half shows the largest of their values, the lower half the smallest";
  return `Aggregated: ${parts.join(" and ")} share a cell; ${how}. Zoom in to part them.`;
}
