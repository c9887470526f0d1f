/** An input that can be changed: drawn on, or typed into; what the network then makes of it is shown beside. */

import { button, choice, type Leaving, make, onFrame, say } from "./dom";
import { className } from "./columns";
import type { Atlas, Command, Maybe, Message } from "./page";
import { picture, type Pictures, pictures } from "./pictures";
import type { Store } from "./store";
import { finite, number, plural, rowName, signed } from "./words";

const LATER = 180;
const SIZE = 224;
const MOST = 8;

type Edited = Extract<Message, { type: "edited" }>;

export function editor(atlas: Atlas, store: Store, send: (command: Command) => void, leaving: Leaving): { element: HTMLElement; changed: (message: Edited) => void } {
  const body = make("div", {});
  const effects = make("div", { class: "nw-effects", "aria-live": "polite" });
  const element = make("section", { class: "nw-part" }, make("h4", {}, "Change an input"), body, effects);
  let input = -1;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const later = (values: () => number[]) => {
    clearTimeout(timer);
    timer = setTimeout(() => send({ type: "edit", input, values: values() }), LATER);
  };
  leaving.add(() => clearTimeout(timer));
  const show = async () => {
    const chosen = store.now.inputs[store.now.inputs.length - 1] ?? -1;
    if (chosen === input && body.childNodes.length) return;
    input = chosen;
    clearTimeout(timer);
    effects.replaceChildren();
    if (input < 0) return body.replaceChildren(make("p", { class: "nw-note" }, "Choose an input in the map to change it."));
    const all = atlas.inputs.kind === "image" ? await pictures(atlas.inputs).catch(() => null) : null;
    if (chosen !== input) return;
    const values = atlas.inputs.values?.[input];
    if (all) body.replaceChildren(drawing(all, input, later));
    else if (values) body.replaceChildren(entries(values, atlas.inputs.names ?? null, later));
    else body.replaceChildren(make("p", { class: "nw-note" }, "The values of this input are not in the page, so it cannot be changed here."));
  };
  const again = onFrame(() => void show());
  again();
  leaving.add(store.subscribe((changed) => changed.has("inputs") && again()));
  return {
    element,
    changed: (message) => {
      if (message.input === input) effects.replaceChildren(...effectParts(atlas, message));
    },
  };
}

/** A picture to draw on with the pointer, or with keys: arrows move the pen, the space bar draws. */
function drawing(all: Pictures, input: number, later: (values: () => number[]) => void): HTMLElement {
  const { width, height, channels } = all;
  const size = width * height * channels;
  const original = all.bytes.slice(input * size, (input + 1) * size);
  const bytes = original.slice();
  const canvas = picture(all, input, `input ${input}, to be drawn on`);
  canvas.className += " nw-editor";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "drawing; arrow keys move the pen, the space bar draws");
  canvas.style.width = `${Math.round(SIZE * Math.min(1, width / height))}px`;
  canvas.style.height = `${Math.round(SIZE * Math.min(1, height / width))}px`;
  let pen = 1;
  let thick = Math.max(1, Math.round(width / 16));
  let at: [number, number] | null = null;
  const where = make("span", { class: "nw-note", "aria-live": "polite" });
  const paint = () => {
    const context = canvas.getContext("2d");
    if (!context) return;
    const image = context.createImageData(width, height);
    for (let n = 0; n < width * height; n++) {
      for (let c = 0; c < 3; c++) image.data[4 * n + c] = bytes[n * channels + (channels === 3 ? c : 0)] ?? 0;
      image.data[4 * n + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };
  const values = () => Array.from(bytes, (byte) => Math.round((byte / 255) * 1e4) / 1e4);
  const dab = (x: number, y: number) => {
    for (let dy = -thick; dy <= thick; dy++)
      for (let dx = -thick; dx <= thick; dx++) {
        const [px, py] = [Math.round(x + dx), Math.round(y + dy)];
        const soft = Math.max(0, Math.min(1, thick + 0.5 - Math.hypot(dx, dy)));
        if (px < 0 || py < 0 || px >= width || py >= height || !soft) continue;
        for (let c = 0; c < channels; c++) {
          const n = (py * width + px) * channels + c;
          const target = pen === 2 ? (original[n] ?? 0) : 255 * pen;
          bytes[n] = Math.round((bytes[n] ?? 0) * (1 - soft) + target * soft);
        }
      }
  };
  const stroke = (event: PointerEvent) => {
    const box = canvas.getBoundingClientRect();
    const to: [number, number] = [((event.clientX - box.left) / box.width) * width - 0.5, ((event.clientY - box.top) / box.height) * height - 0.5];
    const from = at ?? to;
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let n = 1; n <= steps; n++) dab(from[0] + ((to[0] - from[0]) * n) / steps, from[1] + ((to[1] - from[1]) * n) / steps);
    at = to;
    paint();
    later(values);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture?.(event.pointerId);
    at = null;
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons & 1 && stroke(event));
  canvas.addEventListener("keydown", (event) => {
    const moves: Record<string, [number, number]> = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const move = moves[event.key];
    const [x, y] = at ?? [width >> 1, height >> 1];
    if (move) at = [Math.min(width - 1, Math.max(0, Math.round(x + move[0]))), Math.min(height - 1, Math.max(0, Math.round(y + move[1])))];
    else if (event.key === " ") {
      dab(x, y);
      at = [x, y];
      paint();
      later(values);
    } else return;
    say(where, at ? `pen at column ${Math.round(at[0]) + 1}, line ${Math.round(at[1]) + 1}` : "");
    event.preventDefault();
  });
  const pens = choice("Pen", [["1", "bright"], ["0", "dark"], ["2", "as it was"]], "1", (value) => (pen = Number(value)));
  const widths = choice("Width", [1, 2, 3, 5].map((n) => [String(n), plural(2 * n - 1, "pixel")] as const), String(thick), (value) => (thick = Number(value)));
  if (![1, 2, 3, 5].includes(thick)) widths.select.value = String((thick = 2));
  const undo = button("As it was", () => {
    bytes.set(original);
    paint();
    later(values);
  });
  return make("div", { class: "nw-head" }, canvas, make("div", {}, make("div", { class: "nw-bar" }, pens.element, widths.element, undo), make("p", { class: "nw-note" }, "Draw on the picture; what changes in the network is shown below."), where));
}

/** A field a number; the arrow keys of the field change it. */
function entries(given: readonly number[], names: readonly string[] | null, later: (values: () => number[]) => void): HTMLElement {
  const shown = given.slice(0, 64);
  const values = [...given];
  const fields = shown.map((value, n) => {
    const field = make("input", { class: "nw-text", type: "number", step: "any", value, "aria-label": names?.[n] ?? `value ${n + 1}` });
    field.style.width = "7.5em";
    field.addEventListener("input", () => {
      if (!Number.isFinite(field.valueAsNumber)) return;
      values[n] = field.valueAsNumber;
      later(() => values);
    });
    return field;
  });
  const undo = button("As it was", () => {
    given.forEach((value, n) => (values[n] = value));
    fields.forEach((field, n) => (field.value = String(given[n] ?? "")));
    later(() => values);
  });
  const rest = given.length > shown.length ? make("p", { class: "nw-note" }, `The first ${shown.length} of ${given.length} values.`) : null;
  const list = make("div", { class: "nw-bar" }, ...fields.map((field, n) => make("label", { class: "nw-field" }, make("span", {}, names?.[n] ?? String(n + 1)), field)));
  return make("div", {}, list, rest, undo);
}

/** Rows whose belief is another one now, and of the other statistics those that changed most. */
export function effects(before: readonly Maybe[], after: readonly Maybe[]): { row: number; before: number; after: number }[] {
  return after.flatMap((now, row) => {
    const then = before[row];
    return finite(now) && finite(then) && now !== then ? [{ row, before: then, after: now }] : [];
  });
}

function effectParts(atlas: Atlas, message: Edited): Node[] {
  const grids = atlas.moments[atlas.moments.length - 1]?.grids ?? [];
  const parts: Node[] = [];
  const first = (name: string) => ["belief", "support"].includes(name) ? 0 : 1;
  for (const [name, after] of Object.entries(message.after).sort(([one], [other]) => first(one) - first(other))) {
    const grid = grids.find((one) => one.name === name);
    const label = grid?.label ?? name;
    const category = grid?.kind === "category";
    const found = effects(message.before[name] ?? [], after);
    if (!found.length) {
      parts.push(make("p", { class: "nw-note" }, `${label}: no row changes.`));
      continue;
    }
    if (!category) found.sort((a, b) => Math.abs(b.after - b.before) - Math.abs(a.after - a.before));
    const shown = category ? found.slice(-MOST) : found.slice(0, MOST);
    const most = Math.max(...found.map((one) => Math.abs(one.after - one.before)));
    const body = make("tbody");
    for (const one of shown) {
      const row = atlas.rows[one.row];
      const said = category
        ? `${className(atlas.inputs, one.before)} → ${className(atlas.inputs, one.after)}`
        : `${number(one.before)} → ${number(one.after)} (${signed(one.after - one.before, most >= 10 ? 1 : 3)})`;
      body.append(make("tr", {}, make("th", { scope: "row" }, row ? rowName(row) : `row ${one.row}`), make("td", {}, said)));
    }
    const of = found.length > shown.length ? ` (${category ? "the last" : "the largest"} ${shown.length})` : "";
    parts.push(make("div", { class: "nw-part" }, make("h4", {}, `${label}: ${plural(found.length, "row changes", "rows change")}${of}`), make("table", { class: "nw-beliefs" }, body)));
  }
  return parts;
}
