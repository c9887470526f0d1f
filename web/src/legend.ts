/** What the colours of a map mean, with numbers. */

import { axis, ticks, tickWords } from "./axis";
import { category, css, onto, pattern } from "./colour";
import { className } from "./columns";
import { make } from "./dom";
import { shade } from "./map";
import type { Inputs } from "./page";
import { FONT, line, sheet, text, theme } from "./sheet";
import type { Shown } from "./shown";

const WIDTH = 260;
const HEIGHT = 34;
const MOST = 12;

/** A strip of the scale; a mark shows where a value lies. */
export function drawScale(canvas: HTMLCanvasElement, of: Shown, mark: number | null): void {
  const context = sheet(canvas, WIDTH, HEIGHT);
  if (!context) return;
  const t = theme();
  const { grid } = of;
  const reach = grid.kind === "diverging" ? of.reach : 1;
  const middle = (grid.low + grid.high) / 2;
  const low = middle - (middle - grid.low) * reach;
  const high = middle + (grid.high - middle) * reach;
  const decades = grid.scale === "log" && low > 0;
  const across = axis(low, high, 14, WIDTH - 14, decades);
  const colour = shade(of, t.dark);
  const strip = WIDTH - 28;
  for (let x = 0; x < strip; x++) {
    const part = 0.5 + (x / (strip - 1) - 0.5) * reach;
    context.fillStyle = css(colour(part));
    context.fillRect(14 + x, 4, 1.5, 11);
  }
  context.strokeStyle = t.line;
  context.lineWidth = 1;
  context.strokeRect(13.5, 3.5, strip + 1, 12);
  context.font = `11px ${FONT}`;
  let all = ticks(low, high, decades, 4);
  if (all.length < 2) all = [low, high];
  for (const tick of all) {
    const x = across(tick);
    line(context, x, 16, x, 19, t.faint);
    const cut = reach < 1 && (tick === all[0] || tick === all[all.length - 1]) ? (tick < middle ? "≤ " : "≥ ") : "";
    const said = cut + tickWords(tick, all, decades);
    const half = context.measureText(said).width / 2;
    text(context, said, Math.min(WIDTH - half, Math.max(half, x)), 27, t.faint, "center");
  }
  if (mark !== null && Number.isFinite(mark)) {
    const x = across(mark);
    context.fillStyle = t.ink;
    context.beginPath();
    context.moveTo(x - 4, 0);
    context.lineTo(x + 4, 0);
    context.lineTo(x, 5);
    context.fill();
    line(context, x, 4, x, 15, onto(colour(0.5 + (across(mark) - 14) / strip * reach - reach / 2)), 1);
  }
}

/** The classes with their colours; a hundred of them are not all named. */
export function classKeys(inputs: Inputs, count: number): HTMLElement {
  const dark = theme().dark;
  const keys = Array.from({ length: Math.min(count, MOST) }, (_, n) =>
    make("span", { class: "nw-key" }, swatch(n, dark), className(inputs, n)),
  );
  const rest = count > MOST ? make("span", { class: "nw-key" }, `and ${count - MOST} more; point at a cell to read its class`) : null;
  return make("div", { class: "nw-keys" }, ...keys, rest);
}

export function swatch(index: number, dark = theme().dark): HTMLElement {
  const colour = category(index, dark);
  const element = make("i", { class: `nw-swatch nw-${pattern(index)}`, "aria-hidden": "true" });
  element.style.backgroundColor = css(colour);
  element.style.setProperty("--on", onto(colour));
  return element;
}
