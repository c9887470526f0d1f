/** The pixels of the map, painted once for what is chosen and copied from then on. */

import { binned, type Bins } from "./bins";
import { category, diverging, pixel, type Rgb, sequential, table } from "./colour";
import { make } from "./dom";
import { valueOf } from "./grids";
import type { Shown } from "./shown";

const SHADES = 1024;

/** The colour of a part of the range, as the map and its legend have it. */
export function shade(of: Shown, dark: boolean): (part: number) => Rgb {
  const scale = of.grid.kind === "diverging" ? diverging(dark) : sequential(dark);
  return (part) => scale(0.5 + (part - 0.5) / (of.grid.kind === "diverging" ? of.reach : 1));
}

export function colourOf(of: Shown, code: number, dark: boolean): Rgb {
  return of.grid.kind === "category" ? category(code, dark) : shade(of, dark)(code / (of.missing - 1));
}

export interface Painted {
  canvas: HTMLCanvasElement;
  bins: Bins;
}

/** A pixel a cell, or two where a cell holds several values: the largest above, the smallest below. */
export function paintedMap(of: Shown, lines: readonly (readonly number[])[], columns: readonly (readonly number[])[], dark: boolean): Painted | null {
  const bins = binned(of, lines, columns);
  const two = (bins.columnsEach > 1 || bins.rowsEach > 1) && of.grid.kind !== "category";
  const canvas = make("canvas", { width: Math.max(1, bins.width), height: Math.max(1, bins.height * (two ? 2 : 1)) });
  const context = canvas.getContext("2d");
  if (!context) return null;
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = of.grid.kind === "category" ? classes(of, dark) : table(shade(of, dark), SHADES);
  const step = of.grid.kind === "category" ? 1 : (SHADES - 1) / (of.missing - 1);
  for (let y = 0; y < bins.height; y++) {
    const start = y * bins.width;
    const first = (two ? 2 * y : y) * bins.width;
    for (let x = 0; x < bins.width; x++) {
      const high = bins.high[start + x] as number;
      if (high >= of.missing) continue; // transparent: the hatching of "not measured" shows
      pixels[first + x] = colours[Math.round(high * step)] as number;
      if (two) pixels[first + bins.width + x] = colours[Math.round((bins.low[start + x] as number) * step)] as number;
    }
  }
  context.putImageData(image, 0, 0);
  return { canvas, bins };
}

function classes(of: Shown, dark: boolean): Uint32Array {
  let most = 0;
  for (const code of of.codes) if (code < of.missing && code > most) most = code;
  return Uint32Array.from({ length: most + 1 }, (_, n) => pixel(category(n, dark)));
}

export function exact(of: Shown, row: number, input: number): number | null {
  return valueOf(of.grid, of.codes[row * of.columns + input] ?? of.missing);
}
