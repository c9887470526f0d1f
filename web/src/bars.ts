/** A plot that is read with the pointer and with keys: bars or points, a number of places in a row. */

import { Leaving, make, onFrame, say } from "./dom";
import { onTheme } from "./theme";

export interface Plot {
  frame: HTMLDivElement;
  canvas: HTMLCanvasElement;
  redraw: () => void;
}

/** A canvas as wide as its place that is drawn anew when that or the theme changes. */
export function plot(height: number, label: string, draw: (canvas: HTMLCanvasElement, width: number) => void, leaving: Leaving, most = 720): Plot {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const frame = make("div", { class: "nw-plot", role: "img", "aria-label": label }, canvas);
  frame.style.height = `${height}px`;
  const redraw = onFrame(() => draw(canvas, Math.min(most, Math.max(220, Math.floor(frame.clientWidth || 400)))));
  leaving.resize(frame, redraw);
  leaving.add(onTheme(redraw));
  redraw();
  return { frame, canvas, redraw };
}

/** Words for readers who do not see the picture. */
export function inWords(text: string): HTMLElement {
  const element = make("p", { class: "nw-spoken" });
  say(element, text);
  return element;
}
