/** What was found in the map, by name: a press chooses its rows and inputs. */

import { swatch } from "../legend";
import { className } from "../columns";
import { Leaving, make } from "../dom";
import type { Page, Pattern } from "../page";
import type { Store } from "../store";
import { plural } from "../words";

export function patterns(element: HTMLElement, page: Page, store: Store): () => void {
  const leaving = new Leaving();
  const data = page.atlas;
  const found = data?.patterns ?? [];
  if (!data || !found.length) {
    element.append(make("p", { class: "nw-empty" }, "No pattern stood out in this map."));
    return () => undefined;
  }
  const list = make("ul", { class: "nw-list" });
  const buttons = found.map((pattern) => {
    const size = [
      pattern.rows.length ? plural(pattern.rows.length, "row") : "",
      pattern.inputs.length ? plural(pattern.inputs.length, "input") : "",
    ].filter(Boolean).join(", ");
    const classes = pattern.classes.slice(0, 6).map((label) => make("small", { class: "nw-key" }, swatch(label), className(data.inputs, label)));
    const button = make("button", { type: "button", class: "nw-pattern" },
      make("b", {}, pattern.title), make("span", {}, pattern.explanation),
      make("small", { class: "nw-keys" }, make("small", {}, size), ...classes));
    button.addEventListener("click", () => (chosen(pattern, store) ? store.clear() : choose(pattern, page, store)));
    list.append(make("li", {}, button));
    return { pattern, button };
  });
  const mark = () => {
    for (const { pattern, button } of buttons) button.setAttribute("aria-pressed", String(chosen(pattern, store)));
  };
  element.append(list);
  mark();
  leaving.add(store.subscribe(mark));
  return () => leaving.all();
}

function choose(pattern: Pattern, page: Page, store: Store): void {
  const layer = page.atlas?.rows[pattern.rows[0] ?? -1]?.layer ?? null;
  store.set({ rows: pattern.rows, inputs: pattern.inputs, layer, unit: null });
}

function chosen(pattern: Pattern, store: Store): boolean {
  const { rows, inputs } = store.now;
  const same = (one: readonly number[], other: readonly number[]) => one.length === other.length && one.every((n, at) => n === other[at]);
  return pattern.rows.length + pattern.inputs.length > 0 && same(rows, pattern.rows) && same(inputs, pattern.inputs);
}
