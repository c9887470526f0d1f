/** A plot as wide as its place, drawn anew when that or the theme changes, with words for those who do not see it. */

import { axis, ticks, tickWords } from "./axis";
import { type Leaving, make, onFrame, say } from "./dom";
import { line, sheet, text, theme } from "./sheet";
import { onTheme } from "./theme";
import { number } from "./words";

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

/** A line through the values of a series. */
export function series(values: readonly number[], input: number, leaving: Leaving): HTMLElement {
  const height = 90;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const label = `The series of input ${input}: ${values.length} values from ${number(low)} to ${number(high)}`;
  return plot(height, label, (canvas, width) => {
    const context = sheet(canvas, width, height);
    if (!context) return;
    const t = theme();
    const x = axis(0, Math.max(1, values.length - 1), 48, width - 6);
    const y = axis(low, high, height - 8, 8);
    const all = ticks(low, high, false, 3);
    for (const tick of all) {
      line(context, 48, y(tick), width - 6, y(tick), t.line);
      text(context, tickWords(tick, all), 42, y(tick), t.faint, "right");
    }
    context.beginPath();
    values.forEach((value, n) => context.lineTo(x(n), y(value)));
    context.strokeStyle = t.after;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
  }, leaving).frame;
}

/** Words for readers who do not see the picture. */
export function inWords(text: string): HTMLElement {
  const element = make("p", { class: "nw-spoken" });
  say(element, text);
  return element;
}
