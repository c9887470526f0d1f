/** The courses of the trainings, before and after: thin lines for the seeds, a thick one for their mean. */

import { type Axis, axis, countTicks, ticks, tickWords } from "../axis";
import { inWords, plot } from "../plot";
import { Leaving, make, say } from "../dom";
import type { Curve, Maybe, Page } from "../page";
import { FONT, line, sheet, text, theme, type Theme } from "../sheet";
import { finite, number, plural } from "../words";

const HEIGHT = 250;

export interface Group {
  label: string;
  courses: (readonly Maybe[])[];
}

export function curves(element: HTMLElement, page: Page): () => void {
  const leaving = new Leaving();
  const labels = [...new Set(page.curves.map((curve) => curve.label))];
  const groups = (of: (curve: Curve) => readonly Maybe[]): Group[] =>
    labels.map((label) => ({ label, courses: page.curves.filter((curve) => curve.label === label).map(of) }));
  const metric = page.metric;
  const scored = page.curves.some((curve) => curve.val_score.some(finite));
  const figures = [
    figure("Training loss over the epochs", groups((curve) => curve.loss), true, null, leaving),
    scored ? null : figure("Validation loss over the epochs", groups((curve) => curve.val_loss), true, null, leaving),
    figure(`Validation ${metric?.name ?? "score"} over the epochs`, groups((curve) => curve.val_score), false, metric && Number.isFinite(metric.trivial) ? metric.trivial : null, leaving),
  ].filter((one): one is HTMLElement => one !== null);
  element.append(figures.length ? make("div", { class: "nw-charts" }, ...figures) : make("p", { class: "nw-empty" }, "Nothing was trained, so there are no curves."));
  return () => leaving.all();
}

/** The mean where every seed has a value: a seed that breaks off does not bend it. */
export function mean(courses: readonly (readonly Maybe[])[]): Maybe[] {
  const epochs = Math.max(0, ...courses.map((course) => course.length));
  return Array.from({ length: epochs }, (_, n) => {
    const known = courses.map((course) => course[n]).filter(finite);
    return known.length === courses.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  });
}

/** Where a course stops being finite: the number of its first epoch that is not; null for none. */
export function breaksAt(course: readonly Maybe[]): number | null {
  const at = course.findIndex((value) => !finite(value));
  return at < 0 ? null : at + 1;
}

/** The ends of the axis, and whether it goes by decades: where all is positive and the largest is a hundred times the least. */
export function span(values: readonly number[], mayBeDecades: boolean, level: number | null): { low: number; high: number; decades: boolean } {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const least = Math.min(high, ...values.filter((value) => value > 0));
  if (mayBeDecades && low >= 0 && high > 100 * least) return { low: least, high, decades: true };
  if (level !== null) [low, high] = [Math.min(low, level), Math.max(high, level)];
  const room = 0.05 * (high - low) || 0.05 * (Math.abs(high) || 1);
  return { low: low === 0 ? 0 : low - room, high: high + room, decades: false };
}

function told({ label, courses }: Group): string {
  const known = courses.map((course) => course.filter(finite)).filter((course) => course.length);
  if (!known.length) return `${label}: nothing finite`;
  const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const stopped = courses.filter((course) => breaksAt(course) !== null).length;
  const aside = stopped ? `, ${plural(stopped, "seed")} with values that are not finite` : "";
  return `${label}: from ${number(average(known.map((course) => course[0] as number)))} to ${number(average(known.map((course) => course[course.length - 1] as number)))} over ${plural(courses.length, "seed")}${aside}`;
}

const isBefore = (label: string) => label === "before";
const colourOf = (label: string, t: Theme) => (isBefore(label) ? t.before : t.after);

function figure(title: string, all: Group[], mayBeDecades: boolean, level: number | null, leaving: Leaving): HTMLElement | null {
  const groups = all.filter((group) => group.courses.some((course) => course.length));
  const values = groups.flatMap((group) => group.courses.flatMap((course) => course.filter(finite)));
  if (!values.length) return null;
  const { low, high, decades } = span(values, mayBeDecades, level);
  const epochs = Math.max(...groups.flatMap((group) => group.courses.map((course) => course.length)));
  const broken = groups.some((group) => group.courses.some((course) => breaksAt(course) !== null));
  let hovered: number | null = null;
  let across: Axis = axis(1, 2, 0, 1);
  const words = groups.map(told).join("; ");
  const chart = plot(HEIGHT, `${title}${decades ? ", logarithmic scale" : ""}. ${words}`, (canvas, width) => {
    const context = sheet(canvas, width, HEIGHT);
    if (!context) return;
    const t = theme();
    across = axis(1, Math.max(epochs, 2), 52, width - 14);
    const up = axis(low, high, HEIGHT - 36, 12, decades);
    frame(context, across, up, epochs, width, t);
    if (level !== null && !decades) {
      context.setLineDash([2, 4]);
      line(context, 52, up(level), width - 14, up(level), t.faint);
      context.setLineDash([]);
      text(context, `trivial ${number(level)}`, width - 14, up(level) - 8, t.faint, "right");
    }
    for (const { label, courses } of groups) {
      const colour = colourOf(label, t);
      const dash = isBefore(label) ? [7, 4] : [];
      for (const course of courses) {
        context.globalAlpha = courses.length > 1 ? 0.4 : 1;
        context.lineWidth = courses.length > 1 ? 1 : 2.2;
        if (courses.length === 1) context.setLineDash(dash);
        stroke(context, course, across, up, colour);
        context.setLineDash([]);
        context.globalAlpha = 1;
        cross(context, course, across, up, colour);
      }
      if (courses.length < 2) continue;
      context.lineWidth = 2.6;
      context.setLineDash(dash);
      stroke(context, mean(courses), across, up, colour);
      context.setLineDash([]);
    }
    if (hovered !== null) line(context, across(hovered), 12, across(hovered), HEIGHT - 36, t.ink);
  }, leaving, 704);
  const read = make("p", { class: "nw-note" });
  const point = (epoch: number | null) => {
    hovered = epoch;
    const parts = epoch === null ? [] : groups.map(({ label, courses }) => {
      const here = courses.map((course) => course[epoch - 1]).filter(finite);
      return `${label} ${here.length ? number(here.reduce((a, b) => a + b, 0) / here.length) : "not finite"}${here.length && here.length < courses.length ? ` (${here.length} of ${courses.length} seeds)` : ""}`;
    });
    say(read, epoch === null ? "\u00a0" : `epoch ${epoch}: ${parts.join(", ")}`);
    chart.redraw();
  };
  point(null);
  leaving.listen(chart.frame, "pointermove", (event) => point(Math.round(across.at(event.clientX - chart.canvas.getBoundingClientRect().left))));
  leaving.listen(chart.frame, "pointerleave", () => point(null));
  const keys = make("div", { class: "nw-keys" });
  for (const { label, courses } of groups) {
    const swatch = make("i", { class: `nw-line${isBefore(label) ? " nw-dashed" : ""}`, "aria-hidden": "true" });
    swatch.style.borderTopColor = `var(--${isBefore(label) ? "before" : "after"})`;
    keys.append(make("span", { class: "nw-key" }, swatch, `${label} (${plural(courses.length, "seed")})`));
  }
  if (broken) keys.append(make("span", { class: "nw-key" }, "× stops being finite"));
  if (groups.some((group) => group.courses.length > 1)) keys.append(make("span", { class: "nw-key" }, "thick: mean while all seeds are finite"));
  return make("figure", { class: "nw-figure" }, make("figcaption", {}, make("b", {}, title), decades ? ", logarithmic scale" : "", keys), chart.frame, inWords(words), read);
}

function frame(context: CanvasRenderingContext2D, across: Axis, up: Axis, epochs: number, width: number, t: Theme): void {
  context.font = `12px ${FONT}`;
  const all = ticks(up.low, up.high, up.decades);
  for (const tick of all) {
    line(context, 52, Math.round(up(tick)) + 0.5, width - 14, Math.round(up(tick)) + 0.5, t.line);
    text(context, tickWords(tick, all, up.decades), 44, up(tick), t.faint, "right");
  }
  for (const tick of countTicks(epochs)) text(context, String(tick), across(tick), HEIGHT - 24, t.faint, "center");
  text(context, "epoch", (52 + width - 14) / 2, HEIGHT - 8, t.faint, "center");
}

function stroke(context: CanvasRenderingContext2D, course: readonly Maybe[], across: Axis, up: Axis, colour: string): void {
  context.strokeStyle = context.fillStyle = colour;
  context.lineJoin = "round";
  context.beginPath();
  course.forEach((value, n) => {
    if (!finite(value)) return;
    const [x, y] = [across(n + 1), up(value)];
    const alone = !finite(course[n - 1]) && !finite(course[n + 1]);
    if (alone) context.rect(x - 1, y - 1, 2, 2);
    else if (finite(course[n - 1])) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  context.stroke();
}

/** At the last value before a line stops being finite, or at the top where it has none. */
function cross(context: CanvasRenderingContext2D, course: readonly Maybe[], across: Axis, up: Axis, colour: string): void {
  const broken = breaksAt(course);
  if (broken === null) return;
  const before = course[broken - 2];
  const [x, y] = [across(Math.max(1, broken - 1)), finite(before) ? up(before) : up.end];
  line(context, x - 4, y - 4, x + 4, y + 4, colour, 2);
  line(context, x - 4, y + 4, x + 4, y - 4, colour, 2);
}
