/** What was kept of one input at one row, as pictures and bars. */

import { css, diverging, onto, pixel, sequential, table } from "./colour";
import { make } from "./dom";
import { inflated } from "./grids";
import type { Detail } from "./page";
import { painted, picture, type Pictures } from "./pictures";
import { theme } from "./theme";
import { count, number, signed } from "./words";

const TITLES: Record<Detail["kind"], string> = {
  maps: "feature maps",
  attention: "attention",
  states: "states over time",
  vector: "outputs",
  contributions: "contributions",
  attribution: "what counts in the picture",
};

export async function codesOf(detail: Detail): Promise<Uint8Array> {
  return inflated(detail.data, detail.shape.reduce((size, n) => size * n, 1));
}

/** `feature maps, first 16 of 32`. */
export function detailTitle(detail: Detail): string {
  const kept = detail.shape.length > 1 || detail.kind === "vector" ? (detail.shape[0] ?? 0) : 0;
  const of = detail.of > kept && kept > 0 ? `, first ${count(kept)} of ${count(detail.of)}` : "";
  const title = detail.kind === "attribution" && detail.shape.length < 2 ? "what counts" : TITLES[detail.kind];
  return `${title}${detail.kind === "states" ? "" : of}${detail.method ? `, by ${detail.method}` : ""}`;
}

/** What the comparison with a randomised network says of an attribution. */
export function randomisedWords(alike: number | null): string {
  if (alike === null) return "It was not checked against a network with random weights.";
  if (alike < 0.3) return `Against a network with random weights it is ${number(alike)} alike: it depends on what was learned.`;
  if (alike < 0.6) return `Against a network with random weights it is ${number(alike)} alike: part of it is the picture, not what was learned.`;
  return `Against a network with random weights it is ${number(alike)} alike: it says little of what was learned.`;
}

/** Two ways from 0 where values lie on both sides of it, else one way. */
function painter(detail: Detail): (code: number) => number {
  const dark = theme().dark;
  const two = detail.low < 0 && detail.high > 0;
  const most = Math.max(-detail.low, detail.high);
  const colours = table(two ? diverging(dark) : sequential(dark), 256);
  return (code) => {
    if (!two) return colours[code] as number;
    const value = detail.low + (code / 255) * (detail.high - detail.low);
    return colours[Math.round(((value / most + 1) / 2) * 255)] as number;
  };
}

const valueAt = (detail: Detail, code: number): number => detail.low + (code / 255) * (detail.high - detail.low);

/** The picture of a detail; `pick` is told of the map or head that is pressed. */
export function drawn(detail: Detail, codes: Uint8Array, unit: number | null, pick: (unit: number) => void, over: { all: Pictures; input: number } | null, tokens = false): HTMLElement {
  switch (detail.kind) {
    case "maps":
    case "attention":
      return tiles(detail, codes, unit, pick);
    case "states":
      return states(detail, codes);
    case "attribution":
      if (detail.shape.length === 2) return attribution(detail, codes, over);
      if (tokens && detail.names) return marked(detail, codes, detail.names);
      return detail.names || codes.length <= MOST_BARS ? bars(detail, codes, null) : band(detail, codes);
    default:
      return bars(detail, codes, detail.kind === "vector" ? pick : null);
  }
}

function tiles(detail: Detail, codes: Uint8Array, unit: number | null, pick: (unit: number) => void): HTMLElement {
  const [many = 1, height = 1, width = 1] = detail.shape.length === 2 ? [1, ...detail.shape] : detail.shape;
  const colour = painter(detail);
  const size = many > 8 ? 64 : 88;
  const word = detail.kind === "maps" ? "unit" : "head";
  const parts = Array.from({ length: many }, (_, n) => {
    const canvas = painted(width, height, `${word} ${n}`, (at) => colour(codes[n * width * height + at] ?? 0));
    canvas.style.width = `${Math.round(size * Math.min(1, width / height))}px`;
    canvas.style.height = `${Math.round(size * Math.min(1, height / width))}px`;
    const press = make("button", { type: "button", "aria-pressed": String(unit === n), title: `${word} ${n}` }, canvas);
    press.addEventListener("click", () => pick(n));
    return make("figure", { class: "nw-tile" }, press, make("figcaption", {}, unit === n ? `● ${n}` : String(n)));
  });
  return make("div", {}, make("div", { class: "nw-tiles" }, ...parts), rangeWords(detail));
}

/** From low to high, with the colours that say so. */
function rangeWords(detail: Detail): HTMLElement {
  const colour = painter(detail);
  const strip = painted(64, 1, "", (n) => colour(Math.round((n * 255) / 63)));
  strip.style.width = "96px";
  strip.style.height = "9px";
  strip.setAttribute("aria-hidden", "true");
  return make("p", { class: "nw-note nw-key" }, number(detail.low), strip, number(detail.high));
}

function states(detail: Detail, codes: Uint8Array): HTMLElement {
  const [steps = 1, size = 1] = detail.shape;
  const colour = painter(detail);
  // Time runs to the right, a line a unit.
  const canvas = painted(steps, size, `${steps} steps of ${size} units`, (at) => colour(codes[(at % steps) * size + Math.floor(at / steps)] ?? 0));
  canvas.style.width = `min(100%, ${Math.max(240, Math.min(640, steps * 10))}px)`;
  canvas.style.height = `${Math.max(60, Math.min(260, size * 6))}px`;
  return make("div", {}, canvas, make("p", { class: "nw-note" }, `time runs to the right, ${count(steps)} steps; a line a unit, ${count(size)}${detail.of > steps ? ` (first ${count(steps)} of ${count(detail.of)} steps)` : ""}`), rangeWords(detail));
}

function attribution(detail: Detail, codes: Uint8Array, over: { all: Pictures; input: number } | null): HTMLElement {
  const [height = 1, width = 1] = detail.shape;
  const most = Math.max(Math.abs(detail.low), Math.abs(detail.high)) || 1;
  const scale = table(diverging(theme().dark), 256);
  const box = make("div", { class: "nw-tiles" });
  if (over) {
    const grey = picture(over.all, over.input, "the picture");
    grey.style.width = grey.style.height = "176px";
    const shade = painted(width, height, "", (at) => {
      const value = valueAt(detail, codes[at] ?? 0) / most;
      const [r, g, b] = diverging(false)(value < 0 ? 0 : 1);
      return pixel([r, g, b], Math.round(235 * Math.min(1, Math.abs(value)) ** 0.7));
    });
    shade.style.cssText = "position:absolute;inset:0;width:176px;height:176px;background:none;border-color:transparent";
    grey.style.filter = "grayscale(1) contrast(.6) brightness(1.15)";
    const stack = make("div", {}, grey, shade);
    stack.style.position = "relative";
    box.append(make("figure", { class: "nw-tile" }, stack, make("figcaption", {}, "over the picture")));
  }
  const alone = painted(width, height, "attribution", (at) => scale[Math.round(((valueAt(detail, codes[at] ?? 0) / most + 1) / 2) * 255)] as number);
  alone.style.width = "176px";
  alone.style.height = `${Math.round((176 * height) / width)}px`;
  box.append(make("figure", { class: "nw-tile" }, alone, make("figcaption", {}, "alone")));
  const said = `Orange speaks for the prediction, blue against it, up to ${number(most)}.`;
  return make("div", {}, box, make("p", { class: "nw-note" }, said), make("p", { class: "nw-note" }, randomisedWords(detail.randomised)));
}

/** A long series: a stripe a value, from its beginning to its end. */
function band(detail: Detail, codes: Uint8Array): HTMLElement {
  const colour = painter(detail);
  const stripe = painted(codes.length, 1, `attribution of ${count(codes.length)} values`, (n) => colour(codes[n] ?? 0));
  stripe.style.width = "100%";
  stripe.style.maxWidth = "720px";
  stripe.style.height = "28px";
  return make("div", {}, stripe, rangeWords(detail), make("p", { class: "nw-note" }, randomisedWords(detail.randomised)));
}

/** A text with the weight of its words behind them, and under them for those who do not see colours. */
function marked(detail: Detail, codes: Uint8Array, names: readonly string[]): HTMLElement {
  const most = Math.max(Math.abs(detail.low), Math.abs(detail.high)) || 1;
  const words = make("p", { class: "nw-words" });
  names.slice(0, codes.length).forEach((name, n) => {
    const value = valueAt(detail, codes[n] ?? 0);
    const colour = diverging(theme().dark)((value / most + 1) / 2);
    const word = make("span", { title: signed(value, decimals(most)) }, name);
    word.style.background = css(colour);
    word.style.color = onto(colour);
    if (Math.abs(value) > 0.5 * most) word.style.textDecoration = value > 0 ? "underline" : "underline dotted";
    words.append(word, " ");
  });
  const said = `Orange speaks for the prediction, blue against it, up to ${number(most)}; underlined where it is over half of that, dotted against.`;
  return make("div", {}, words, make("p", { class: "nw-note" }, said), make("p", { class: "nw-note" }, randomisedWords(detail.randomised)));
}

const MOST_BARS = 24;

function bars(detail: Detail, codes: Uint8Array, pick: ((unit: number) => void) | null): HTMLElement {
  const values = [...codes].map((code) => valueAt(detail, code));
  const most = Math.max(...values.map(Math.abs)) || 1;
  const [negative, positive] = [css(diverging(theme().dark)(0.05)), css(diverging(theme().dark)(0.95))];
  const order = values.map((_, n) => n);
  if (detail.kind !== "vector" || values.length > MOST_BARS) order.sort((a, b) => Math.abs(values[b] ?? 0) - Math.abs(values[a] ?? 0));
  const grid = make("div", { class: "nw-names" });
  for (const n of order.slice(0, MOST_BARS)) {
    const value = values[n] ?? 0;
    const bar = make("i");
    bar.style.background = value < 0 ? negative : positive;
    bar.style.width = `${(50 * Math.abs(value)) / most}%`;
    bar.style[value < 0 ? "right" : "left"] = "50%";
    const name = detail.names?.[n] ?? `unit ${n}`;
    const label = pick ? make("button", { type: "button", class: "nw-plain" }, name) : make("span", {}, name);
    if (pick) label.addEventListener("click", () => pick(n));
    grid.append(label, make("div", { class: "nw-barbox", "aria-hidden": "true" }, bar), make("span", {}, signed(value, decimals(most))));
  }
  const rest = values.length > MOST_BARS ? make("p", { class: "nw-note" }, `The ${MOST_BARS} largest of ${count(values.length)}.`) : null;
  const words = detail.kind === "attribution" ? make("p", { class: "nw-note" }, randomisedWords(detail.randomised)) : null;
  return make("div", {}, grid, rest, words);
}

function decimals(most: number): number {
  return most >= 100 ? 0 : most >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(most)));
}
