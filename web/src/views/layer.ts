/** The chosen row: how its inputs spread, which units it has, and where it is written. */

import { tickWords, ticks } from "../axis";
import { inWords, plot } from "../plot";
import { valueWords } from "../cellwords";
import { className } from "../columns";
import { css } from "../colour";
import { afterwards, Leaving, make, renew } from "../dom";
import { type Histogram, histogram } from "../histogram";
import { colourOf } from "../map";
import type { Atlas, Layer, Page, Units } from "../page";
import { picture, pictures } from "../pictures";
import { fitting, FONT, line, sheet, text, theme } from "../sheet";
import { rowValues, type Shown, shown } from "../shown";
import type { Store } from "../store";
import { bytes, count, duration, exponent, listed, megaflops, number, plural, rowName, shapes, share, source } from "../words";

const HEIGHT = 150;

export function layer(element: HTMLElement, page: Page, store: Store): () => void {
  const leaving = new Leaving();
  let drawing = new Leaving();
  let asked = 0;
  const render = async () => {
    const now = ++asked;
    drawing.all();
    drawing = new Leaving();
    const parts = await view(page, store, drawing);
    if (now === asked) renew(element, parts);
  };
  const again = afterwards(() => void render().catch(() => element.replaceChildren(make("p", { class: "nw-error" }, "This part of the page cannot be read."))));
  let chosen = "";
  const follow = () => {
    const { rows, layer: at, statistic, moment, against, unit } = store.now;
    const next = JSON.stringify([rows[0], at, statistic, moment, against, unit, page.atlas?.moments.length]);
    if (next !== chosen) again();
    chosen = next;
  };
  follow();
  leaving.add(store.subscribe(follow));
  return () => {
    drawing.all();
    leaving.all();
  };
}

async function view(page: Page, store: Store, leaving: Leaving): Promise<Node[]> {
  const atlas = page.atlas;
  const row = store.now.rows[0] ?? atlas?.rows.findIndex((one) => one.layer === store.now.layer) ?? -1;
  const index = atlas?.rows[row]?.layer ?? store.now.layer;
  const chosen = index === null ? undefined : page.layers[index];
  if (!chosen) return [make("p", { class: "nw-empty" }, "Choose a row in the map or in the table of layers.")];
  const parts: Node[] = [heading(chosen, atlas?.rows[row] ? rowName(atlas.rows[row]) : ""), facts(chosen), ...findings(page, chosen)];
  if (!atlas || row < 0) return parts;
  const of = await shown(atlas, store.now);
  if (of) parts.push(spread(of, atlas, row, store, leaving));
  const units = atlas.units.find((one) => one.row === row);
  if (units) parts.push(...(await unitParts(units, atlas, store)));
  return parts;
}

function heading(chosen: Layer, name: string): HTMLElement {
  const said = name && !name.includes(chosen.name) ? name : "";
  return make("h3", {}, make("span", { class: "nw-kind" }, chosen.kind), " ", make("span", { class: "nw-name" }, chosen.name), said ? ` ${said}` : "");
}

function facts(chosen: Layer): HTMLElement {
  const entries: [string, string][] = [
    ["shapes", shapes(chosen.input_shape, chosen.output_shape)],
    ["parameters", chosen.parameters ? count(chosen.parameters) + (chosen.trainable === false ? ", frozen" : "") : ""],
    ["MFLOP", megaflops(chosen.flops)],
    ["outputs of a sample", bytes(chosen.bytes)],
    ["time", duration(chosen.seconds)],
    ["zeros", share(chosen.behaviour.zeros)],
    ["gradient", exponent(chosen.behaviour.gradient)],
    ["written at", source(chosen)],
  ];
  const list = make("dl", { class: "nw-facts" });
  for (const [term, said] of entries) if (said) list.append(make("div", {}, make("dt", {}, term), make("dd", {}, said)));
  return list;
}

function findings(page: Page, chosen: Layer): Node[] {
  return page.findings
    .filter((finding) => chosen.findings.includes(finding.id) && finding.status !== "refuted")
    .map((finding) => make("p", {}, make("b", { class: finding.status === "confirmed" ? "nw-wrong" : "" }, `${finding.status === "confirmed" ? "◆" : "◇"} ${finding.cause}, ${finding.status}. `), finding.explanation));
}

/** A bar a stretch of values, or a bar a class; a press chooses its inputs. */
function spread(of: Shown, atlas: Atlas, row: number, store: Store, leaving: Leaving): HTMLElement {
  const values = rowValues(of, row);
  const counted: Spread | null = of.grid.kind === "category" ? classBars(values) : histogram(values, of.grid.scale === "log");
  const title = make("h4", {}, `${of.grid.label.replace(/^./, (c) => c.toUpperCase())} over ${plural(of.columns, "input")} `, make("small", {}, of.moment.label));
  if (!counted) return make("div", { class: "nw-part" }, title, make("p", { class: "nw-note" }, "Not measured at this row."));
  const { bins, tallest, missing } = counted;
  let hovered = -1;
  const said = make("p", { class: "nw-note" });
  const words = (n: number) => {
    const bin = bins[n];
    if (!bin) return missing.length ? `${plural(missing.length, "input")} not measured. Click a bar to choose its inputs.` : "Click a bar to choose its inputs.";
    const where = of.grid.kind === "category" ? className(atlas.inputs, bin.from) : `${number(bin.from)} to ${valueWords(of, bin.to, atlas.inputs)}`;
    return `${where}: ${plural(bin.inputs.length, "input")}`;
  };
  said.textContent = words(-1);
  const chart = plot(HEIGHT, `${title.textContent ?? ""}: the most, ${plural(tallest, "input")}, in one bar`, (canvas, width) => {
    const context = sheet(canvas, width, HEIGHT);
    if (!context) return;
    const t = theme();
    const [left, right, top, bottom] = [36, width - 4, 8, HEIGHT - 24];
    const wide = (right - left) / bins.length;
    const y = (many: number) => bottom - ((bottom - top) * many) / Math.max(1, tallest);
    context.font = `11px ${FONT}`;
    for (const tick of ticks(0, Math.max(1, tallest), false, 3)) {
      if (!Number.isInteger(tick)) continue;
      line(context, left, y(tick), right, y(tick), t.line);
      text(context, count(tick), left - 6, y(tick), t.faint, "right");
    }
    const inputs = new Set(store.now.inputs);
    bins.forEach((bin, n) => {
      const x = left + n * wide;
      const inside = inputs.size ? bin.inputs.filter((input) => inputs.has(input)).length : 0;
      context.fillStyle = of.grid.kind === "category" ? css(colourOf(of, bin.from, t.dark)) : t.after;
      context.globalAlpha = inputs.size && of.grid.kind !== "category" ? 0.35 : hovered === n ? 0.75 : 0.9;
      const gap = wide > 4 ? 1 : 0;
      context.fillRect(x, y(bin.inputs.length), wide - gap, bottom - y(bin.inputs.length));
      context.globalAlpha = 1;
      if (inside) {
        context.fillStyle = t.ink;
        context.fillRect(x, y(inside), wide - gap, bottom - y(inside));
      }
      if (of.grid.kind === "category" && wide > 22) text(context, fitting(context, className(atlas.inputs, bin.from), wide - 4), x + wide / 2, bottom + 12, t.faint, "center");
    });
    line(context, left, bottom, right, bottom, t.faint);
    if (counted.axis) {
      const across = counted.axis;
      const { low, high, decades } = across;
      const all = ticks(low, high, decades, width > 460 ? 6 : 4);
      for (const tick of all) text(context, tickWords(tick, all, decades), Math.max(left + 12, Math.min(right - 12, left + across(tick) * wide)), bottom + 12, t.faint, "center");
    }
  }, leaving, 640);
  const frame = chart.frame;
  frame.tabIndex = 0;
  frame.setAttribute("role", "application");
  frame.setAttribute("aria-roledescription", "histogram; arrow keys move from bar to bar, Enter chooses its inputs");
  frame.style.cursor = "pointer";
  const at = (event: MouseEvent) => {
    const box = chart.canvas.getBoundingClientRect();
    return Math.floor(((event.clientX - box.left - 36) / (box.width - 40)) * bins.length);
  };
  const live = inWords("");
  live.setAttribute("aria-live", "polite");
  const point = (n: number) => {
    if (n === hovered) return;
    hovered = n;
    said.textContent = words(n);
    chart.redraw();
  };
  const choose = (n: number) => bins[n]?.inputs.length && store.set({ inputs: bins[n].inputs });
  frame.addEventListener("pointermove", (event) => point(at(event)));
  frame.addEventListener("pointerleave", () => point(-1));
  frame.addEventListener("click", (event) => choose(at(event)));
  frame.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step) point(Math.min(bins.length - 1, Math.max(0, hovered + step)));
    else if (event.key === "Enter" && hovered >= 0) choose(hovered);
    else return;
    live.textContent = words(hovered);
    event.preventDefault();
  });
  leaving.add(store.subscribe((changed) => changed.has("inputs") && chart.redraw()));
  return make("div", { class: "nw-part" }, title, frame, said, live);
}

type Spread = Omit<Histogram, "axis"> & Partial<Pick<Histogram, "axis">>;

function classBars(values: readonly (number | null)[]): Spread | null {
  const byClass = new Map<number, number[]>();
  const missing: number[] = [];
  values.forEach((value, input) => {
    if (value === null) missing.push(input);
    else (byClass.get(value) ?? byClass.set(value, []).get(value))?.push(input);
  });
  const bins = [...byClass].sort(([a], [b]) => a - b).map(([label, inputs]) => ({ from: label, to: label, inputs }));
  return bins.length ? { bins, missing, tallest: Math.max(...bins.map((bin) => bin.inputs.length)) } : null;
}

async function unitParts(units: Units, atlas: Atlas, store: Store): Promise<Node[]> {
  const all = await pictures(atlas.inputs).catch(() => null);
  const said: string[] = [];
  if (units.dead.length) said.push(`Never active: ${units.dead.length > 1 ? "units" : "unit"} ${listed(units.dead.map(String))}.`);
  if (units.duplicates.length) said.push(`Alike: ${listed(units.duplicates.map(([a, b, r]) => `${a} and ${b} (correlation ${number(r)})`), 5)}.`);
  if (units.effective_rank !== null) said.push(`Effective rank ${number(units.effective_rank)} of ${count(units.of)}.`);
  const table = make("div", { class: "nw-units" });
  const chosen = store.now.unit;
  const top = [...units.top].sort((a, b) => Number(b.unit === chosen) - Number(a.unit === chosen));
  for (const one of top) {
    const press = make("button", { type: "button", class: "nw-plain", "aria-pressed": String(one.unit === chosen) }, `${one.unit === chosen ? "● " : ""}unit ${one.unit}`);
    press.addEventListener("click", () => store.set({ unit: one.unit === chosen ? null : one.unit, inputs: one.inputs }));
    const faces = one.inputs.map((input, n) => {
      const value = number(one.values[n] ?? null);
      const face = all ? picture(all, input, `input ${input}, ${value}`) : make("span", { class: "nw-plain" }, atlas.inputs.texts?.[input]?.slice(0, 24) ?? `input ${input}`);
      if (all) face.style.width = face.style.height = "44px";
      const open = make("button", { type: "button", title: `input ${input}: ${value}` }, face);
      open.addEventListener("click", () => store.set({ inputs: [input], unit: one.unit }));
      return make("figure", { class: "nw-tile" }, open, make("figcaption", {}, value));
    });
    table.append(make("div", { class: "nw-unit" }, press, make("div", { class: "nw-tiles" }, ...faces)));
  }
  const of = units.shown < units.of ? `the first ${units.shown} of ${count(units.of)}` : `all ${count(units.of)}`;
  return [
    make("div", { class: "nw-part" }, make("h4", {}, "Units and the inputs that excite them most ", make("small", {}, of)), ...said.map((words) => make("p", { class: "nw-note" }, words)), table),
  ];
}
