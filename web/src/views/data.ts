/** The data map: inputs beside those that the network holds for alike, at some rows. */

import { axis } from "../axis";
import { inWords, plot } from "../plot";
import { depthWords, isClass, verdictWords } from "../cellwords";
import { category, css, sequential } from "../colour";
import { className } from "../columns";
import { button, choice, Leaving, make, say } from "../dom";
import { inside, nearest, type Point, towards } from "../lasso";
import type { Atlas, Page } from "../page";
import { FONT, sheet, text, theme } from "../sheet";
import { onTheme } from "../theme";
import type { Store } from "../store";
import { finite, number, plural, rowName, share } from "../words";

type By = "class" | "loss" | "depth";
const SIZE = 460;

export function data(element: HTMLElement, page: Page, store: Store): () => void {
  const atlas = page.atlas;
  if (!atlas?.maps.length) {
    element.append(make("p", { class: "nw-empty" }, "No data map was made."));
    return () => undefined;
  }
  const leaving = new Leaving();
  let shown = atlas.maps.length - 1;
  const ways: [By, string][] = [];
  if (atlas.inputs.labels && isClass(atlas.inputs)) ways.push(["class", "class"]);
  if (atlas.inputs.losses) ways.push(["loss", "loss"]);
  if (atlas.depths) ways.push(["depth", "row from which on it is right"]);
  let by: By = ways[0]?.[0] ?? "loss";
  let places: Point[] = [];
  let outline: Point[] = [];
  let hovered = -1;
  const keys = make("div", { class: "nw-keys" });
  const said = make("p", { class: "nw-status" });
  const live = inWords("");
  live.setAttribute("aria-live", "polite");

  const chart = plot(SIZE, "", (canvas, width) => {
    const high = Math.min(SIZE, Math.max(260, width * 0.72));
    chart.frame.style.height = `${high}px`;
    places = layout(atlas, shown, width, high);
    const context = sheet(canvas, width, high);
    if (context) draw(context, atlas, by, places, new Set(store.now.inputs), hovered, outline, width, high);
  }, leaving, 760);
  const { frame } = chart;
  frame.tabIndex = 0;
  frame.setAttribute("role", "application");
  frame.setAttribute("aria-roledescription", "scatter plot; arrow keys go from input to input, Escape clears");
  frame.style.cursor = "crosshair";

  const tell = () => {
    const map = atlas.maps[shown];
    const chosen = store.now.inputs;
    frame.setAttribute("aria-label", `Data map of ${plural(atlas.inputs.count, "input")} at ${placeName(atlas, shown)}`);
    const cell = hovered >= 0 ? hovered : chosen.length === 1 ? (chosen[0] as number) : -1;
    if (cell >= 0) say(said, [`input ${cell}`, verdictWords(atlas.inputs, cell), finite(atlas.inputs.losses?.[cell]) ? `loss ${number(atlas.inputs.losses?.[cell])}` : "", depthWords(atlas, cell)].filter(Boolean).join(" · "));
    else if (chosen.length) say(said, `${plural(chosen.length, "input")} chosen`);
    else say(said, `${map ? `The two directions hold ${share(map.explained)} of the differences. ` : ""}Draw around inputs to choose them.`);
  };
  const legend = () => {
    const parts: HTMLElement[] = [];
    if (by === "class") {
      const classes = [...new Set(atlas.inputs.labels?.filter((label): label is number => label !== null) ?? [])].sort((a, b) => a - b);
      for (const label of classes.slice(0, 12)) parts.push(make("span", { class: "nw-key" }, mark(label), className(atlas.inputs, label)));
      if (classes.length > 12) parts.push(make("span", { class: "nw-key" }, `and ${classes.length - 12} more`));
    } else {
      const [low, high] = reach(atlas, by);
      const strip = make("i", { class: "nw-swatch" });
      strip.style.width = "6em";
      strip.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map((p) => css(pale(p))).join(",")})`;
      const ends = by === "loss" ? [number(low), number(high)] : [atlas.rows[low] ? rowName(atlas.rows[low]) : "", atlas.rows[high] ? rowName(atlas.rows[high]) : ""];
      parts.push(make("span", { class: "nw-key" }, ends[0] ?? "", strip, ends[1] ?? ""));
      if (by === "depth") parts.push(make("span", { class: "nw-key" }, "× never right"));
    }
    if (atlas.inputs.predictions && by === "class") parts.push(make("span", { class: "nw-key" }, "◯ around: predicted wrong"));
    keys.replaceChildren(...parts);
  };
  const at = (event: MouseEvent): Point => {
    const box = chart.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const point = (n: number) => {
    if (n === hovered) return;
    hovered = n;
    tell();
    chart.redraw();
  };
  leaving.listen(frame, "pointerdown", (event) => {
    if (event.button) return;
    frame.setPointerCapture?.(event.pointerId);
    outline = [at(event)];
  });
  leaving.listen(frame, "pointermove", (event) => {
    if (!outline.length || !(event.buttons & 1)) return point(nearest(at(event), places, 9));
    outline.push(at(event));
    chart.redraw();
  });
  leaving.listen(frame, "pointerup", (event) => {
    const drawn = outline;
    outline = [];
    const [first] = drawn;
    const end = at(event);
    const far = first ? drawn.reduce((most, [x, y]) => Math.max(most, Math.hypot(x - first[0], y - first[1])), 0) : 0;
    if (far < 5) {
      const one = nearest(end, places, 12);
      const more = event.shiftKey && one >= 0 ? [...store.now.inputs.filter((input) => input !== one), one] : null;
      store.set({ inputs: more ?? (one >= 0 ? [one] : []) });
    } else {
      const found = places.flatMap((place, n) => (inside(place, drawn) ? [n] : []));
      store.set({ inputs: event.shiftKey ? [...new Set([...store.now.inputs, ...found])] : found });
    }
    chart.redraw();
  });
  leaving.listen(frame, "pointercancel", () => {
    outline = [];
    chart.redraw();
  });
  leaving.listen(frame, "pointerleave", () => point(-1));
  leaving.listen(frame, "keydown", (event) => {
    const ways: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way) {
      const next = towards(store.now.inputs[store.now.inputs.length - 1] ?? -1, way[0], way[1], places);
      if (next >= 0) store.set({ inputs: [next] });
      live.textContent = said.textContent;
    } else if (event.key === "Escape") store.set({ inputs: [] });
    else return;
    event.preventDefault();
  });

  const bar = make("div", { class: "nw-bar" });
  if (atlas.maps.length > 1)
    bar.append(choice("At", atlas.maps.map((_, n) => [String(n), placeName(atlas, n)] as const), String(shown), (value) => {
      shown = Number(value);
      tell();
      chart.redraw();
    }).element);
  if (ways.length > 1)
    bar.append(choice("Colour", ways, by, (value) => {
      by = value;
      legend();
      chart.redraw();
    }).element);
  bar.append(make("span", { class: "nw-right" }, button("Clear", () => store.set({ inputs: [] }))));
  element.append(bar, keys, frame, said, live);
  legend();
  tell();
  leaving.add(onTheme(legend));
  leaving.add(store.subscribe((changed) => {
    if (!changed.has("inputs")) return;
    tell();
    chart.redraw();
  }));
  return () => leaving.all();
}

function placeName(atlas: Atlas, map: number): string {
  const row = atlas.rows[atlas.maps[map]?.row ?? -1];
  return row ? rowName(row) : `map ${map + 1}`;
}

/** One scale for both directions, so that distances are true. */
function layout(atlas: Atlas, shown: number, width: number, height: number): Point[] {
  const map = atlas.maps[shown];
  if (!map) return [];
  const known = (values: readonly number[]) => values.filter(Number.isFinite);
  const [xs, ys] = [known(map.x), known(map.y)];
  const ends = (values: readonly number[]): [number, number] => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const [left, right] = ends(xs);
  const [low, high] = ends(ys);
  const scale = Math.min((width - 32) / (right - left || 1), (height - 32) / (high - low || 1));
  return map.x.map((x, n) => [
    width / 2 + (x - (left + right) / 2) * scale,
    height / 2 - ((map.y[n] ?? 0) - (low + high) / 2) * scale,
  ]);
}

function reach(atlas: Atlas, by: By): [number, number] {
  const values = (by === "loss" ? atlas.inputs.losses : atlas.depths)?.filter((v): v is number => finite(v) && (by === "loss" || v >= 0)) ?? [];
  return values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)] as [number, number], [Infinity, -Infinity]);
}

/** Points on paper need more colour than cells beside each other: the palest quarter is left out. */
function pale(part: number): [number, number, number] {
  return sequential(theme().dark)(0.25 + 0.75 * part);
}

const MARKS = ["●", "■", "▲", "◆"];

function mark(label: number): HTMLElement {
  const element = make("span", { "aria-hidden": "true" }, MARKS[label % 4] ?? "●");
  element.style.color = css(category(label, theme().dark));
  return element;
}

function draw(context: CanvasRenderingContext2D, atlas: Atlas, by: By, places: readonly Point[], chosen: ReadonlySet<number>, hovered: number, outline: readonly Point[], width: number, height: number): void {
  const t = theme();
  const { labels, predictions, losses } = atlas.inputs;
  context.fillStyle = t.sheet;
  context.fillRect(0, 0, width, height);
  const [low, high] = by === "class" ? [0, 1] : reach(atlas, by);
  const part = axis(low, high, 0, 1, by === "loss" && low > 0);
  const size = places.length > 2000 ? 2 : places.length > 600 ? 2.6 : 3.6;
  context.font = `11px ${FONT}`;
  places.forEach(([x, y], n) => {
    const label = labels?.[n] ?? null;
    const value = by === "loss" ? losses?.[n] : atlas.depths?.[n];
    context.globalAlpha = chosen.size > 1 && !chosen.has(n) ? 0.22 : 0.9;
    if (by === "depth" && finite(value) && value < 0) return text(context, "×", x, y, t.bad, "center");
    context.fillStyle = by === "class" ? (label === null ? t.faint : css(category(label, t.dark))) : finite(value) ? css(pale(part(value))) : t.faint;
    context.beginPath();
    shape(context, by === "class" ? (label ?? 0) % 4 : 0, x, y, size);
    context.fill();
    if (!t.dark && size > 2) {
      context.globalAlpha *= 0.35;
      context.strokeStyle = t.ink;
      context.lineWidth = 0.75;
      context.stroke();
      context.globalAlpha /= 0.35;
    }
    if (by === "class" && predictions && label !== null && predictions[n] !== label) {
      context.strokeStyle = t.ink;
      context.lineWidth = 1;
      context.beginPath();
      context.arc(x, y, size + 2.5, 0, 7);
      context.stroke();
    }
  });
  context.globalAlpha = 1;
  for (const n of chosen.size < 2 ? [...chosen, hovered] : [hovered]) {
    const place = places[n];
    if (!place) continue;
    context.strokeStyle = t.ink;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(place[0], place[1], size + 5, 0, 7);
    context.stroke();
  }
  if (outline.length > 1) {
    context.beginPath();
    for (const [x, y] of outline) context.lineTo(x, y);
    context.closePath();
    context.strokeStyle = t.ink;
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    context.stroke();
    context.setLineDash([]);
  }
}

/** Classes have a shape as well as a colour. */
function shape(context: CanvasRenderingContext2D, kind: number, x: number, y: number, r: number): void {
  if (kind === 0) return context.arc(x, y, r, 0, 7);
  if (kind === 1) return context.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
  const corners = kind === 2 ? [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]] : [[0, -1.3], [1.1, 0], [0, 1.3], [-1.1, 0]];
  for (const [dx = 0, dy = 0] of corners) context.lineTo(x + dx * r, y + dy * r);
  context.closePath();
}
