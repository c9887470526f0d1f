/** One input's column: what each row holds of it, from the first to the last. */

import { valueWords } from "./cellwords";
import { className } from "./columns";
import { css, onto } from "./colour";
import { Leaving, make } from "./dom";
import { plot } from "./plot";
import { colourOf, exact } from "./map";
import type { Atlas } from "./page";
import { FONT, line, sheet, text, theme } from "./sheet";
import type { Shown } from "./shown";
import type { Store } from "./store";
import { number, rowName } from "./words";
import { axis, ticks, tickWords } from "./axis";

/** Runs of rows that believe the same. */
export function beliefRuns(of: Shown, input: number): { first: number; last: number; value: number | null }[] {
  const found: { first: number; last: number; value: number | null }[] = [];
  for (let row = 0; row < of.rows; row++) {
    const value = exact(of, row, input);
    const before = found[found.length - 1];
    if (before && before.value === value) before.last = row;
    else found.push({ first: row, last: row, value });
  }
  return found;
}

const HEIGHT = 46;

/** A strip from the first row to the last; a press chooses a row. */
export function strip(of: Shown, atlas: Atlas, input: number, store: Store, leaving: Leaving): HTMLElement {
  const label = atlas.inputs.labels?.[input] ?? null;
  const runs = beliefRuns(of, input);
  const known = runs.filter((run) => run.value !== null);
  const words = of.grid.kind === "category"
    ? known.slice(-6).map((run) => `${className(atlas.inputs, run.value)} from ${rowName(atlas.rows[run.first] as never)}`).join("; ")
    : "";
  const said = known.length > 6 ? `last of ${known.length} changes: ${words}` : words;
  const chart = plot(HEIGHT, `${of.grid.label} of input ${input}, row by row. ${said}`, (canvas, width) => {
    const context = sheet(canvas, width, HEIGHT);
    if (!context) return;
    const t = theme();
    const x = axis(0, of.rows, 0, width);
    context.fillStyle = t.sheet;
    context.fillRect(0, 0, width, 26);
    context.font = `11px ${FONT}`;
    for (const run of runs) {
      if (run.value === null) continue;
      const [from, to] = [x(run.first), x(run.last + 1)];
      const code = of.grid.kind === "category" ? run.value : (of.codes[run.first * of.columns + input] as number);
      const colour = colourOf(of, code, t.dark);
      context.fillStyle = css(colour);
      context.fillRect(from, 0, Math.max(1, to - from), 26);
      if (of.grid.kind !== "category") continue;
      const right = run.value === label;
      const name = `${right ? "✓ " : ""}${className(atlas.inputs, run.value)}`;
      if (context.measureText(name).width < to - from - 4) text(context, name, (from + to) / 2, 13, onto(colour), "center");
    }
    const depth = atlas.depths?.[input] ?? -1;
    if (depth >= 0) {
      line(context, x(depth), 0, x(depth), 30, t.paper, 4);
      line(context, x(depth), 0, x(depth), 30, t.ink, 1.5);
    }
    const row = store.now.rows[0];
    if (row !== undefined) {
      context.strokeStyle = t.paper;
      context.lineWidth = 3;
      context.strokeRect(x(row), 0, Math.max(3, x(row + 1) - x(row)), 26);
      context.strokeStyle = t.ink;
      context.lineWidth = 1.5;
      context.strokeRect(x(row), 0, Math.max(3, x(row + 1) - x(row)), 26);
    }
    text(context, "first row", 0, 37, t.faint);
    text(context, "last row", width, 37, t.faint, "right");
    if (depth >= 0 && row === undefined && x(depth) < width - 150) text(context, "right from here on", Math.max(60, x(depth)), 37, t.soft);
    if (row !== undefined && atlas.rows[row]) {
      const name = `${rowName(atlas.rows[row])}: ${valueWords(of, exact(of, row, input), atlas.inputs)}`;
      const half = context.measureText(name).width / 2;
      text(context, name, Math.min(width - half - 60, Math.max(half + 64, x(row + 0.5))), 37, t.ink, "center");
    }
  }, leaving, 1200);
  chart.frame.style.cursor = "pointer";
  chart.frame.addEventListener("click", (event) => {
    const box = chart.canvas.getBoundingClientRect();
    const row = Math.min(of.rows - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * of.rows)));
    store.set({ rows: [row], layer: atlas.rows[row]?.layer ?? null, unit: null });
  });
  leaving.add(store.subscribe((changed) => changed.has("rows") && chart.redraw()));
  return chart.frame;
}

/** Two columns, one less the other: bars up and down along the rows; of classes, where they part. */
export function apart(of: Shown, atlas: Atlas, one: number, other: number, leaving: Leaving): HTMLElement {
  const category = of.grid.kind === "category";
  const decades = of.grid.scale === "log";
  const values = Array.from({ length: of.rows }, (_, row) => {
    const [a, b] = [exact(of, row, one), exact(of, row, other)];
    if (a === null || b === null) return null;
    return category ? Number(a !== b) : decades ? Math.log10(a / b) : a - b;
  });
  const known = values.filter((v): v is number => v !== null && Number.isFinite(v));
  const most = Math.max(...known.map(Math.abs), 0) || 1;
  const largest = values.findIndex((v) => v !== null && Math.abs(v) === most);
  const differ = category ? known.filter((v) => v !== 0).length : 0;
  const said = category
    ? `They are believed to be different classes in ${differ} of ${known.length} rows.`
    : `${of.grid.label} of input ${one} less that of input ${other}${decades ? ", in powers of ten" : ""}; furthest apart, by ${number(values[largest] ?? null)}, at ${atlas.rows[largest] ? rowName(atlas.rows[largest]) : "no row"}.`;
  const height = category ? 30 : 120;
  const chart = plot(height, said, (canvas, width) => {
    const context = sheet(canvas, width, height);
    if (!context) return;
    const t = theme();
    const left = category ? 0 : 44;
    const x = axis(0, of.rows, left, width);
    const y = category ? axis(0, 1, 26, 2) : axis(-most, most, height - 8, 8);
    if (!category) {
      const all = ticks(-most, most, false, 4);
      for (const tick of all) {
        line(context, left, y(tick), width, y(tick), t.line);
        text(context, tickWords(tick, all), left - 6, y(tick), t.faint, "right");
      }
    }
    values.forEach((value, row) => {
      if (value === null || !Number.isFinite(value)) return;
      context.fillStyle = value >= 0 ? t.before : t.after;
      const [from, to] = [y(0), y(value)];
      context.fillRect(x(row), Math.min(from, to), Math.max(1, x(row + 1) - x(row) - (of.rows < 100 ? 1 : 0)), Math.abs(to - from));
    });
    line(context, left, y(0), width, y(0), t.ink);
  }, leaving, 1200);
  return make("div", {}, chart.frame, make("p", { class: "nw-note" }, said));
}
