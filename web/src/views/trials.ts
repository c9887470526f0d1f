/** Effects of what was tried with their 95 % intervals, over seeds (thick) and samples (thin), against zero and the margin. */

import { type Axis, axis, ticks, tickWords } from "../axis";
import { inWords, plot } from "../plot";
import { Leaving, make } from "../dom";
import type { Page, Trial } from "../page";
import { FONT, fitting, line, sheet, text, theme, type Theme } from "../sheet";
import { decimals, finite, signed } from "../words";

const ROW = 42;
const TOP = 8;

export function trials(element: HTMLElement, page: Page): () => void {
  const leaving = new Leaving();
  const shown = page.trials.filter((trial) => finite(trial.effect));
  const unmeasured = page.trials.filter((trial) => !finite(trial.effect));
  const rest = unmeasured.length ? make("p", { class: "nw-note" }, `Without a measured effect: ${unmeasured.map((trial) => `${trial.label} (${trial.verdict})`).join("; ")}.`) : null;
  if (!shown.length) {
    element.append(rest ?? make("p", { class: "nw-empty" }, "Nothing was tried."));
    return () => undefined;
  }
  const margins = shown.map((trial) => trial.margin).filter(finite);
  const margin = margins.length ? Math.max(...margins) : null;
  const [low, high, cut] = reach(shown, margin);
  const height = TOP + ROW * shown.length + 40;
  const title = "Effects of what was tried, with 95 % intervals";
  const words = shown.map(told).join("; ");
  const chart = plot(height, `${title}. ${words}`, (canvas, width) => {
    const context = sheet(canvas, width, height);
    if (context) draw(context, shown, margin, axis(low, high, 12, width - 12), width, height, theme());
  }, leaving, 640);
  const keys = make("div", { class: "nw-keys" },
    make("span", { class: "nw-key" }, "thick: over seeds"), make("span", { class: "nw-key" }, "thin: over seeds and samples"),
    cut ? make("span", { class: "nw-key" }, "arrow: beyond this scale") : null,
    margin === null ? null : make("span", { class: "nw-key" }, make("i", { class: "nw-band", "aria-hidden": "true" }), "too small to matter"));
  element.append(make("figure", { class: "nw-figure" }, make("figcaption", {}, make("b", {}, title), keys), chart.frame, inWords(words)));
  if (rest) element.append(rest);
  return () => leaving.all();
}

function told(trial: Trial): string {
  return `${trial.label}: ${trial.said || signed(trial.effect)}, ${trial.verdict}`;
}

const bounds = (trial: Trial): number[] => [trial.effect, trial.low, trial.high, trial.low_samples, trial.high_samples].filter(finite);

/** The ends of the axis, and whether it is cut: where a few effects are over five times the usual one. */
export function reach(shown: readonly Trial[], margin: number | null): [low: number, high: number, cut: boolean] {
  const sizes = shown.map((trial) => Math.max(...bounds(trial).map(Math.abs))).sort((a, b) => a - b);
  const typical = Math.max(sizes[Math.floor(sizes.length / 2)] ?? 0, margin === null ? 0 : 3 * margin);
  const small = sizes.filter((size) => size <= 5 * typical);
  const limit = small.length && (sizes[sizes.length - 1] ?? 0) > 5 * typical ? 1.15 * Math.max(...small) : Infinity;
  const known = [0, margin ?? 0, -(margin ?? 0), ...shown.flatMap(bounds)];
  const low = Math.max(Math.min(...known), -limit);
  const high = Math.min(Math.max(...known), limit);
  const room = 0.06 * (high - low) || 0.1;
  return [low - room, high + room, Number.isFinite(limit)];
}

function draw(context: CanvasRenderingContext2D, shown: readonly Trial[], margin: number | null, across: Axis, width: number, height: number, t: Theme): void {
  const bottom = height - 40;
  if (margin !== null) {
    context.fillStyle = t.line;
    context.globalAlpha = 0.6;
    context.fillRect(across(-margin), TOP, across(margin) - across(-margin), bottom - TOP);
    context.globalAlpha = 1;
  }
  const all = ticks(across.low, across.high);
  for (const tick of all) {
    line(context, across(tick), TOP, across(tick), bottom, t.line);
    text(context, Math.abs(tick) < 1e-12 ? "0" : `${tick > 0 ? "+" : ""}${tickWords(tick, all)}`, across(tick), bottom + 13, t.faint, "center");
  }
  line(context, across(0), TOP, across(0), bottom, t.ink, 1.5);
  shown.forEach((trial, n) => row(context, trial, across, TOP + n * ROW, width, t));
  text(context, "effect on the metric; right of 0 is better", width / 2, bottom + 31, t.faint, "center");
}

function row(context: CanvasRenderingContext2D, trial: Trial, across: Axis, y: number, width: number, t: Theme): void {
  const colour = t[trial.tone];
  const effect = trial.effect ?? 0;
  const said = `${signed(effect, finite(trial.low) ? decimals(trial.low, trial.high) : decimals(effect))} ${trial.verdict}`;
  context.font = `12px ${FONT}`;
  const room = context.measureText(said).width;
  halo(context, said, width - 12, y + 12, colour, "right", t);
  context.font = `600 12px ${FONT}`;
  halo(context, fitting(context, trial.label, width - room - 40), 12, y + 12, t.ink, "left", t);
  context.font = `12px ${FONT}`;
  const at = y + 30;
  context.lineCap = "round";
  if (effect < across.low || effect > across.high) {
    const [x, way] = effect > 0 ? [across.end, 1] : [across.start, -1];
    line(context, x - 26 * way, at, x, at, colour, 3);
    line(context, x - 7 * way, at - 5, x, at, colour, 3);
    line(context, x - 7 * way, at + 5, x, at, colour, 3);
  } else {
    if (finite(trial.low_samples) && finite(trial.high_samples)) line(context, across(trial.low_samples), at, across(trial.high_samples), at, colour, 1);
    if (finite(trial.low) && finite(trial.high)) line(context, across(trial.low), at, across(trial.high), at, colour, 4);
    context.beginPath();
    context.arc(across(effect), at, 4.5, 0, 7);
    context.fillStyle = t.paper;
    context.fill();
    context.strokeStyle = colour;
    context.lineWidth = 2.5;
    context.stroke();
  }
  context.lineCap = "butt";
}

function halo(context: CanvasRenderingContext2D, said: string, x: number, y: number, colour: string, align: CanvasTextAlign, t: Theme): void {
  context.textAlign = align;
  context.strokeStyle = t.paper;
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeText(said, x, y);
  text(context, said, x, y, colour, align);
}
