/** The chosen input: what it is, what the rows believe of it, and what was kept of it. */

import { series } from "../plot";
import { apart, strip } from "../beliefs";
import { depthWords, isClass, verdictWords } from "../cellwords";
import { codesOf, detailTitle, drawn } from "../details";
import { afterwards, Leaving, make, renew } from "../dom";
import type { Atlas, Detail, Page } from "../page";
import { picture, pictures } from "../pictures";
import { gridOf, shown } from "../shown";
import type { Store } from "../store";
import { onTheme } from "../theme";
import { number, plural, rowName } from "../words";

const AT_ONCE = 12;
const MOST_VALUES = 24;

export function input(element: HTMLElement, page: Page, store: Store): () => void {
  const data = page.atlas;
  if (!data) {
    element.append(make("p", { class: "nw-empty" }, "No inputs were followed through this network."));
    return () => undefined;
  }
  const leaving = new Leaving();
  let drawing = new Leaving();
  let asked = 0;
  let scene = "";
  const render = async () => {
    const now = ++asked;
    const { inputs, rows, statistic, moment, against, unit } = store.now;
    // A row chosen by a key press changes what is kept of it, not the head and the strip.
    const next = JSON.stringify([inputs.slice(-2), inputs.length, details(data, inputs, rows[0]) ? rows[0] : null, statistic, moment, against, unit]);
    if (next === scene) return;
    const parts = await view(data, store, drawing = swap(drawing));
    if (now !== asked) return;
    scene = next;
    renew(element, parts);
  };
  const again = afterwards(() => void render().catch(() => element.replaceChildren(make("p", { class: "nw-error" }, "This part of the page cannot be read."))));
  again();
  leaving.add(store.subscribe((changed) => {
    if (["inputs", "rows", "statistic", "moment", "against", "unit", "page"].some((part) => changed.has(part as never))) again();
  }));
  leaving.add(onTheme(() => {
    scene = "";
    again();
  }));
  return () => {
    drawing.all();
    leaving.all();
  };
}

function swap(old: Leaving): Leaving {
  old.all();
  return new Leaving();
}

function details(atlas: Atlas, inputs: readonly number[], row: number | undefined): boolean {
  const kept = atlas.details.find((one) => one.input === inputs[inputs.length - 1]);
  return row !== undefined && (kept?.items.some((item) => item.row === row) ?? false);
}

async function view(atlas: Atlas, store: Store, leaving: Leaving): Promise<Node[]> {
  const { inputs } = store.now;
  const chosen = inputs[inputs.length - 1];
  if (chosen === undefined) return [make("p", { class: "nw-empty" }, "Choose an input in the map; with Ctrl and a click choose a second one to compare.")];
  const all = await pictures(atlas.inputs).catch(() => null);
  const thumb = (one: number, size: number) => {
    if (!all) return null;
    const canvas = picture(all, one, `input ${one}`);
    canvas.style.width = `${Math.round(size * Math.min(1, all.width / all.height))}px`;
    canvas.style.height = `${Math.round(size * Math.min(1, all.height / all.width))}px`;
    return canvas;
  };
  if (inputs.length > 2) return [many(atlas, inputs, thumb, store)];
  const of = await shown(atlas, store.now);
  const grid = gridOf(atlas.moments[atlas.moments.length - 1], "belief");
  const belief = grid?.kind === "category" && of?.grid.kind !== "category" ? await shown(atlas, { ...store.now, statistic: grid.name }) : null;
  const parts: Node[] = [];
  for (const one of inputs) {
    parts.push(make("div", { class: "nw-head" }, thumb(one, 112), make("div", {}, ...about(atlas, one))));
    const own = numbers(atlas, one, leaving);
    if (own) parts.push(own);
    for (const strips of [belief, of]) {
      if (!strips) continue;
      parts.push(make("div", { class: "nw-part" }, make("h4", {}, `${strips.grid.label}, row by row`), strip(strips, atlas, one, store, leaving)));
    }
  }
  const [first, second] = inputs;
  if (of && first !== undefined && second !== undefined)
    parts.push(make("div", { class: "nw-part" }, make("h4", {}, `Input ${first} less input ${second}`), apart(of, atlas, first, second, leaving)));
  else parts.push(...(await kept(atlas, chosen, store, all)));
  return parts;
}

function about(atlas: Atlas, one: number): Node[] {
  const { ids, texts, losses } = atlas.inputs;
  const wrong = isClass(atlas.inputs) && isWrong(atlas, one);
  const id = ids[one];
  const verdict = verdictWords(atlas.inputs, one);
  const loss = losses?.[one];
  const depth = depthWords(atlas, one);
  const parts: Node[] = [make("h3", {}, `Input ${one}`)];
  if (id !== undefined && id !== String(one)) parts.push(make("p", { class: "nw-note nw-name" }, id));
  const words = texts?.[one];
  if (words) parts.push(make("p", {}, words));
  if (verdict) parts.push(make("p", { class: wrong ? "nw-wrong" : "" }, verdict));
  parts.push(make("p", { class: "nw-note" }, [loss === undefined ? "" : `loss ${number(loss)}`, depth].filter(Boolean).join(" · ")));
  return parts;
}

/** What a table's row or a series holds itself. */
function numbers(atlas: Atlas, one: number, leaving: Leaving): HTMLElement | null {
  const values = atlas.inputs.values?.[one];
  if (!values?.length) return null;
  const { kind, names } = atlas.inputs;
  if (kind === "series") return make("div", { class: "nw-part" }, make("h4", {}, "The series"), series(values, one, leaving));
  const shown = values.slice(0, MOST_VALUES);
  const list = make("dl", { class: "nw-facts" }, ...shown.map((value, n) => make("div", {}, make("dt", {}, names?.[n] ?? `value ${n + 1}`), make("dd", {}, number(value)))));
  const rest = values.length > shown.length ? make("p", { class: "nw-note" }, `The first ${shown.length} of ${values.length} values.`) : null;
  return make("div", { class: "nw-part" }, list, rest);
}

function isWrong(atlas: Atlas, one: number): boolean {
  const [label, predicted] = [atlas.inputs.labels?.[one] ?? null, atlas.inputs.predictions?.[one] ?? null];
  return label !== null && predicted !== null && label !== predicted;
}

/** Several inputs: all of them small, each a press away. */
function many(atlas: Atlas, inputs: readonly number[], thumb: (one: number, size: number) => HTMLElement | null, store: Store): HTMLElement {
  const classes = isClass(atlas.inputs) && atlas.inputs.predictions !== null;
  const tiles = inputs.slice(0, 48).map((one) => {
    const face = thumb(one, 48) ?? make("span", { class: "nw-plain" }, atlas.inputs.texts?.[one]?.slice(0, 24) ?? `input ${one}`);
    const press = make("button", { type: "button", title: [`input ${one}`, verdictWords(atlas.inputs, one)].filter(Boolean).join(", ") }, face);
    press.addEventListener("click", () => store.set({ inputs: [one] }));
    const wrong = classes && isWrong(atlas, one);
    return make("figure", { class: "nw-tile" }, press, make("figcaption", {}, `${wrong ? "× " : ""}${one}`));
  });
  const { losses } = atlas.inputs;
  const wrong = classes ? inputs.filter((one) => isWrong(atlas, one)).length : null;
  const known = inputs.map((one) => losses?.[one]).filter((loss): loss is number => typeof loss === "number");
  const mean = known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  const words = [wrong === null ? "" : `${wrong} predicted wrong (×)`, mean === null ? "" : `mean loss ${number(mean)}`, inputs.length > 48 ? "the first 48 are shown" : ""].filter(Boolean).join(" · ");
  return make("div", {}, make("h3", {}, `${plural(inputs.length, "input")} chosen`), make("p", { class: "nw-note" }, words), make("div", { class: "nw-tiles" }, ...tiles));
}

async function kept(atlas: Atlas, chosen: number, store: Store, all: Awaited<ReturnType<typeof pictures>>): Promise<Node[]> {
  const found = atlas.details.find((one) => one.input === chosen);
  if (!found) {
    if (!atlas.details.length) return [];
    const choices = atlas.details.slice(0, AT_ONCE).map((one) => {
      const press = make("button", { type: "button", class: "nw-button" }, String(one.input));
      press.addEventListener("click", () => store.set({ inputs: [one.input] }));
      return press;
    });
    const others = `Maps and attributions were not kept for this input. They were kept for ${plural(atlas.details.length, "other")}:`;
    return [make("div", { class: "nw-part" }, make("p", { class: "nw-note" }, others), make("p", { class: "nw-bar" }, ...choices))];
  }
  const row = store.now.rows[0];
  // What counts in the input comes first, then the chosen row; where none is chosen, all that was kept.
  const here = found.items.filter((item) => item.row === row && item.kind !== "attribution");
  const whole = found.items.filter((item) => item.kind === "attribution" || (item.kind === "contributions" && !here.includes(item)));
  const items = row === undefined ? found.items : [...whole, ...here];
  const parts: Node[] = [];
  for (const item of items.slice(0, AT_ONCE)) {
    const codes = await codesOf(item).catch(() => null);
    const place = atlas.rows[item.row];
    const title = make("h4", {}, detailTitle(item).replace(/^./, (c) => c.toUpperCase()), " ", make("small", {}, item.kind === "attribution" ? "" : place ? rowName(place) : ""));
    const pick = (unit: number) => store.set({ rows: [item.row], layer: place?.layer ?? null, unit });
    const body = codes
      ? drawn(named(item, atlas), codes, store.now.rows[0] === item.row ? store.now.unit : null, pick, all ? { all, input: chosen } : null, atlas.inputs.kind === "tokens")
      : make("p", { class: "nw-note" }, "This part of the page cannot be read.");
    parts.push(make("div", { class: "nw-part" }, title, body));
  }
  if (row !== undefined && !here.length) {
    const others = [...new Set(found.items.filter((item) => item.kind !== "attribution").map((item) => item.row))];
    const choices = others.slice(0, AT_ONCE).map((other) => {
      const press = make("button", { type: "button", class: "nw-button" }, atlas.rows[other] ? rowName(atlas.rows[other]) : String(other));
      press.addEventListener("click", () => store.set({ rows: [other], layer: atlas.rows[other]?.layer ?? null }));
      return press;
    });
    if (choices.length) parts.push(make("div", { class: "nw-part" }, make("p", { class: "nw-note" }, "The outputs of this row were not kept for this input. They were kept at:"), make("p", { class: "nw-bar" }, ...choices)));
  }
  return parts;
}

/** The outputs of the last row are the scores of the classes. */
function named(item: Detail, atlas: Atlas): Detail {
  const { classes } = atlas.inputs;
  const scores = item.kind === "vector" && item.row === atlas.rows.length - 1 && classes?.length === item.shape[0];
  return scores && classes ? { ...item, names: classes } : item;
}
