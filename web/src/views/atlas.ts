/** The map of the network: rows × inputs, a statistic at a time. */

import { aggregated } from "../bins";
import { depthWords, spoken, valueWords, verdictWords } from "../cellwords";
import { Chart } from "../chart";
import { button, choice, Leaving, make, renew, say } from "../dom";
import { classKeys, drawScale } from "../legend";
import { outermost } from "../lines";
import { exact } from "../map";
import type { Page } from "../page";
import { gridOf, momentOf } from "../shown";
import type { Store } from "../store";
import { onTheme } from "../theme";
import { plural, rowName, shapes } from "../words";

let made = 0;

export function atlas(element: HTMLElement, page: Page, store: Store): () => void {
  const data = page.atlas;
  if (!data || !data.rows.length || !data.inputs.count || !data.moments.some((moment) => moment.grids.length)) {
    element.append(make("p", { class: "nw-empty" }, "No inputs were followed through this network, so there is no map."));
    return () => undefined;
  }
  const leaving = new Leaving();
  const id = `nw-atlas-${++made}`;
  let depthsOn = data.depths !== null;
  let hoveredValue: number | null = null;

  const meaning = make("p", { class: "nw-meaning" });
  const scale = make("canvas", { class: "nw-scale", role: "img" });
  const legend = make("div", { class: "nw-legend" });
  const tooltip = make("div", { class: "nw-tip", hidden: true, "aria-hidden": "true" });
  const status = make("p", { class: "nw-status" });
  const shared = make("p", { class: "nw-note" });
  const live = make("div", { class: "nw-spoken", "aria-live": "polite" });

  const chart = new Chart(page, data, store, {
    depths: () => depthsOn,
    open: () => open(element),
    unreadable: () => say(meaning, "The numbers of this map cannot be read; the page is damaged or was cut off."),
    drawn: (of, painted) => {
      if (!of) return;
      say(meaning, of.grid.meaning);
      say(shared, painted ? aggregated(painted.bins, of.grid.kind === "category") : "");
      shared.hidden = !shared.textContent;
      chart.frame.setAttribute("aria-label", `Map of ${plural(chart.lines.length, "row")} and ${plural(data.inputs.count, "input")}: ${of.grid.label}`);
      if (of.grid.kind === "category") {
        const classes = data.inputs.classes?.length ?? 1 + [...of.codes].reduce((most, code) => (code < of.missing && code > most ? code : most), 0);
        legend.replaceChildren(classKeys(data.inputs, classes));
      } else {
        if (scale.parentElement !== legend) legend.replaceChildren(scale);
        drawScale(scale, of, hoveredValue ?? selectedValue());
        scale.setAttribute("aria-label", `Colours from ${valueWords(of, of.grid.low, data.inputs)} to ${valueWords(of, of.grid.high, data.inputs)}`);
      }
      speak();
    },
    hover: (cell, x, y) => {
      const of = chart.of;
      const before = hoveredValue;
      hoveredValue = cell && cell.input !== null && of ? exact(of, cell.row, cell.input) : null;
      if (before !== hoveredValue && of && of.grid.kind !== "category") drawScale(scale, of, hoveredValue ?? selectedValue());
      tooltip.hidden = !cell;
      if (!cell || !of) return;
      const about = chart.about(cell.line);
      const rows: (HTMLElement | null)[] = [make("b", {}, about.name)];
      if (cell.input !== null) {
        rows.unshift(chart.face(cell.input));
        const given = data.inputs.ids[cell.input];
        rows.push(make("span", {}, `input ${cell.input}${given !== undefined && given !== String(cell.input) ? ` · ${given}` : ""}`));
        const verdict = verdictWords(data.inputs, cell.input);
        rows.push(verdict ? make("span", {}, verdict) : null);
        const where = cell.line.module === null ? "" : ` at its end (${rowName(data.rows[cell.row] as never)})`;
        rows.push(make("span", { class: "nw-tip-value" }, `${of.grid.label}${where}: ${valueWords(of, exact(of, cell.row, cell.input), data.inputs)}`));
        const depth = depthWords(data, cell.input);
        rows.push(depth ? make("span", {}, depth) : null);
      } else {
        const layer = page.layers[data.rows[cell.row]?.layer ?? -1];
        rows.push(layer ? make("span", {}, shapes(layer.input_shape, layer.output_shape)) : null);
      }
      for (const finding of about.findings) rows.push(make("span", { class: "nw-tip-finding" }, finding));
      tooltip.replaceChildren(...rows.filter((row): row is HTMLElement => row !== null));
      const { clientWidth, clientHeight } = chart.frame;
      const [w, h] = [tooltip.offsetWidth, tooltip.offsetHeight];
      tooltip.style.left = `${Math.max(0, x + 16 + w > clientWidth ? x - w - 12 : x + 16)}px`;
      tooltip.style.top = `${y + 18 + h > clientHeight + 40 ? y - h - 10 : y + 18}px`;
    },
  }, leaving);

  const selectedValue = (): number | null => {
    const { rows, inputs } = store.now;
    const [row, input] = [rows[0], inputs[inputs.length - 1]];
    return chart.of && row !== undefined && input !== undefined ? exact(chart.of, row, input) : null;
  };
  const speak = () => {
    const { rows, inputs } = store.now;
    const [row, input] = [rows[0], inputs[inputs.length - 1]];
    let said = "";
    if (chart.of && row !== undefined && input !== undefined) said = spoken(data, chart.of, row, input);
    else if (row !== undefined && data.rows[row]) said = rowName(data.rows[row]);
    else if (input !== undefined) said = `input ${input}`;
    if (inputs.length > 1) said += `${said ? "; " : ""}${plural(inputs.length, "input")} chosen`;
    if (rows.length > 1) said += `${said ? ", " : ""}${plural(rows.length, "row")} chosen`;
    say(status, said || "Nothing is chosen. Click a cell, or press an arrow key.");
    say(live, said);
  };

  const bar = make("div", { class: "nw-bar" });
  const controls = () => {
    const now = store.now;
    const moment = momentOf(data, now);
    const grids = data.moments[moment]?.grids ?? [];
    const parts: Node[] = [
      choice("Statistic", grids.map((grid) => [grid.name, grid.label] as const), gridOf(data.moments[moment], now.statistic)?.name ?? "", (statistic) => store.set({ statistic })).element,
    ];
    if (data.moments.length > 1) parts.push(slider(moment), against(now.against));
    renew(bar, parts);
  };
  const modules = outermost(data.rows);
  const zooms = make("span", { class: "nw-group", role: "group", "aria-label": "Zoom" },
    button("−", () => chart.zoom(1 / 1.6), { "aria-label": "Zoom out", title: "Zoom out (−)" }),
    button("+", () => chart.zoom(1.6), { "aria-label": "Zoom in", title: "Zoom in (+)" }),
    button("Whole", () => store.set({ zoom: null }), { title: "The whole map (0)" }));
  const folds = modules.length
    ? make("span", { class: "nw-group", role: "group", "aria-label": "Modules" },
        button("Fold", () => store.set({ folded: modules, zoom: null }), { title: "A line for each module" }),
        button("Unfold", () => store.set({ folded: [], zoom: null }), { title: "A line for each row" }))
    : null;
  const slider = (moment: number): HTMLElement => {
    const label = data.moments[moment]?.label ?? "";
    const range = make("input", { type: "range", min: 0, max: data.moments.length - 1, step: 1, value: moment, "aria-valuetext": label });
    const name = make("output", {}, label);
    range.addEventListener("input", () => {
      say(name, data.moments[Number(range.value)]?.label ?? "");
      range.setAttribute("aria-valuetext", name.textContent ?? "");
      store.set({ moment: Number(range.value) });
    });
    return make("label", { class: "nw-field" }, make("span", {}, "Moment"), range, name);
  };
  const against = (chosen: number | null): HTMLElement =>
    choice(
      "Change since",
      [["", "none"] as const, ...data.moments.map((moment, n) => [String(n), moment.label] as const)],
      chosen === null ? "" : String(chosen),
      (value) => store.set({ against: value === "" ? null : Number(value) }),
    ).element;

  const help = make("p", { class: "nw-help", id: `${id}-help` },
    "Arrow keys move the cell, Shift and arrows or a drag choose several inputs, Ctrl and a click one more, + and − zoom, F folds the module, Enter opens the input, Escape clears. The wheel zooms after a click into the map.");
  chart.frame.setAttribute("aria-describedby", `${id}-help`);
  const frame = make("div", { class: "nw-frame" }, chart.frame, tooltip);
  const keys = make("div", { class: "nw-keys" });
  if (data.depths) {
    const box = make("input", { type: "checkbox", checked: depthsOn });
    box.addEventListener("change", () => {
      depthsOn = box.checked;
      chart.draw();
    });
    keys.append(make("label", { class: "nw-key" }, box, make("i", { class: "nw-dash", "aria-hidden": "true" }), "from here on the belief is right"));
  }
  if (page.findings.some((finding) => finding.status !== "refuted"))
    keys.append(make("span", { class: "nw-key" }, "◆ finding confirmed"), make("span", { class: "nw-key" }, "◇ suspected"));
  keys.append(make("span", { class: "nw-key" }, make("i", { class: "nw-swatch nw-hatched", "aria-hidden": "true" }), "not measured"));
  element.append(bar, make("div", { class: "nw-top" }, meaning, legend), frame, chart.bar, make("div", { class: "nw-under" }, status, make("span", { class: "nw-right" }, folds, zooms)), live, shared, keys,
    make("details", { class: "nw-more" }, make("summary", {}, "Keys and pointer"), help));
  for (const note of data.notes) element.append(make("p", { class: "nw-note" }, note));

  controls();
  speak();
  void chart.update();
  leaving.add(store.subscribe((changed) => {
    if (["statistic", "moment", "against", "page"].some((part) => changed.has(part as never))) {
      const dragging = changed.size === 1 && changed.has("moment") && document.activeElement?.getAttribute("type") === "range";
      if (!dragging) controls();
    }
    chart.changed(changed);
    if (changed.has("rows") || changed.has("inputs")) {
      speak();
      if (chart.of && chart.of.grid.kind !== "category") drawScale(scale, chart.of, selectedValue());
    }
  }));
  leaving.add(onTheme(() => chart.repaint()));
  return () => leaving.all();
}

/** The view of the input takes the focus, where the page has one. */
function open(element: HTMLElement): void {
  const target = element.ownerDocument.querySelector<HTMLElement>('[data-view="input"]');
  if (!target) return;
  target.tabIndex = -1;
  target.scrollIntoView?.({ block: "nearest" });
  target.focus({ preventScroll: true });
}
