/** Small pictures: thumbnails of the inputs, and maps as tiles. */

import { make } from "./dom";
import { inflated } from "./grids";
import { pixel } from "./colour";
import type { Inputs } from "./page";

export interface Pictures {
  width: number;
  height: number;
  channels: 1 | 3;
  bytes: Uint8Array;
}

const known = new WeakMap<Inputs, Promise<Pictures | null>>();

export function pictures(inputs: Inputs): Promise<Pictures | null> {
  let found = known.get(inputs);
  if (!found) {
    found = unpacked(inputs);
    known.set(inputs, found);
  }
  return found;
}

async function unpacked(inputs: Inputs): Promise<Pictures | null> {
  const kept = inputs.thumbnails;
  if (!kept) return null;
  const { width, height, channels } = kept;
  return { width, height, channels, bytes: await inflated(kept.data, inputs.count * width * height * channels) };
}

/** One picture in its own pixels; the style enlarges it. */
export function picture(all: Pictures, input: number, label: string): HTMLCanvasElement {
  const { width, height, channels, bytes } = all;
  const start = input * width * height * channels;
  return painted(width, height, label, (n) => {
    const at = start + n * channels;
    const first = bytes[at] ?? 0;
    return channels === 1 ? pixel([first, first, first]) : pixel([first, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0]);
  });
}

/** A canvas of `width` × `height` pixels by a function of the pixel's number. */
export function painted(width: number, height: number, label: string, colour: (n: number) => number): HTMLCanvasElement {
  const canvas = make("canvas", { class: "nw-picture", width, height, role: "img", "aria-label": label });
  // Small, and written pixel by pixel: cheaper in memory than on the graphics card.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return canvas;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let n = 0; n < pixels.length; n++) pixels[n] = colour(n);
  context.putImageData(image, 0, 0);
  return canvas;
}
