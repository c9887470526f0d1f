/** Layers × steps on a canvas: a new column moves the old pixels to the left and is painted at the end. */

import { axis, ticks, tickWords } from "./axis";
import { css, pixel, sequential, table } from "./colour";
import { make } from "./dom";
import type { Live, Maybe } from "./page";
import { fitting, FONT, line, ratio, sheet, text, theme } from "./sheet";
import { type Column, partOf, type Range, Stream, widened } from "./stream";
import { hex } from "./theme";
import { finite } from "./words";

const LOSS = 92;
const TOP = 18;
const SHADES = 512;

export type Statistic = Live["statistics"][number];

export class Ribbon {
  readonly map = make("canvas", { class: "nw-layer", "aria-hidden": "true" });
  readonly over = make("canvas", { class: "nw-layer", "aria-hidden": "true" });
  readonly stream = new Stream();
  range: Range | null = null;
  gutter = 120;
  private step = 3;
  private width = 400;
  private colours: Uint32Array = new Uint32Array(SHADES);
  private readonly sliver = make("canvas");
  private painted = 0;

  constructor(private readonly layers: readonly string[], public statistic: Statistic) {}

  get mapHeight(): number {
    return Math.max(80, Math.min(420, this.layers.length * 16));
  }

  get height(): number {
    return TOP + this.mapHeight + LOSS;
  }

  /** How many columns fit. */
  get room(): number {
    return Math.max(1, Math.floor((this.width - this.gutter) / this.step));
  }

  get decades(): boolean {
    return this.statistic.scale === "log";
  }

  /** All that is seen, from what was kept: for another statistic, size or theme. */
  redraw(width: number): void {
    this.width = width;
    const dots = ratio();
    // Whole pixels of the screen: what is moved stays sharp.
    this.step = Math.round(3 * dots) / dots;
    this.gutter = Math.round(Math.min(180, 0.3 * width) * dots) / dots;
    const shown = this.stream.last(this.room);
    this.range = null;
    for (const column of shown) this.range = widened(this.range, this.valuesOf(column), this.decades);
    this.colours = table(sequential(theme().dark), SHADES);
    const context = sheet(this.map, width, this.height);
    if (!context) return;
    this.painted = 0;
    this.names(context);
    for (const column of shown) this.paint(context, column);
    this.marks(null);
  }

  /** What has come since the last frame. */
  add(columns: readonly Column[]): void {
    this.stream.add(columns);
    const fresh = columns.slice(-this.room);
    const before = this.range;
    for (const column of fresh) this.range = widened(this.range, this.valuesOf(column), this.decades);
    if (this.range !== before) return this.redraw(this.width);
    const context = this.map.getContext("2d");
    if (!context) return;
    const over = this.painted + fresh.length - this.room;
    if (over > 0) this.shift(context, Math.min(over, this.painted));
    for (const column of fresh) this.paint(context, column);
  }

  valuesOf(column: Column): readonly Maybe[] {
    return column.values[this.statistic.name] ?? [];
  }

  /** The old pixels go `many` columns to the left. */
  private shift(context: CanvasRenderingContext2D, many: number): void {
    const dots = ratio();
    const [left, top, wide, tall] = [this.gutter * dots, TOP * dots, this.room * this.step * dots, this.mapHeight * dots].map(Math.round) as [number, number, number, number];
    const away = Math.round(many * this.step * dots);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "copy";
    context.beginPath();
    context.rect(left, top, wide, tall);
    context.clip();
    context.drawImage(this.map, left + away, top, wide - away, tall, left, top, wide - away, tall);
    context.restore();
    this.painted -= many;
  }

  private paint(context: CanvasRenderingContext2D, column: Column): void {
    const many = this.layers.length;
    if (this.sliver.height !== many) [this.sliver.width, this.sliver.height] = [1, many];
    const small = this.sliver.getContext("2d");
    if (!small) return;
    const image = small.createImageData(1, many);
    const pixels = new Uint32Array(image.data.buffer);
    const t = theme();
    const bad = pixel(hex(t.bad));
    const values = this.valuesOf(column);
    for (let n = 0; n < many; n++) {
      const value = values[n];
      const part = this.range && partOf(value, this.range, this.decades);
      if (finite(part)) pixels[n] = this.colours[Math.round(Math.min(1, Math.max(0, part)) * (SHADES - 1))] as number;
      else if (value !== null && value !== undefined) pixels[n] = bad;
    }
    small.putImageData(image, 0, 0);
    const x = this.gutter + this.painted * this.step;
    context.imageSmoothingEnabled = false;
    context.clearRect(x, TOP, this.step, this.mapHeight);
    context.drawImage(this.sliver, 0, 0, 1, many, x, TOP, this.step, this.mapHeight);
    this.painted++;
  }

  private names(context: CanvasRenderingContext2D): void {
    const t = theme();
    const tall = this.mapHeight / this.layers.length;
    const every = Math.ceil(15 / tall);
    context.strokeStyle = t.line;
    context.lineWidth = 1;
    context.strokeRect(this.gutter - 0.5, TOP - 0.5, this.room * this.step + 1, this.mapHeight + 1);
    context.font = `12px ${FONT}`;
    this.layers.forEach((name, n) => {
      if (n % every === 0) text(context, fitting(context, name, this.gutter - 12), this.gutter - 8, TOP + (n + 0.5) * tall, t.soft, "right");
    });
  }

  /** Epochs above, the loss beneath, and the cell that is pointed at; drawn over the map. */
  marks(cell: { layer: number; place: number } | null, chosen: number | null = null): void {
    const context = sheet(this.over, this.width, this.height);
    if (!context) return;
    const t = theme();
    const shown = this.stream.last(this.room);
    const x = (place: number) => this.gutter + place * this.step;
    context.font = `11px ${FONT}`;
    let free = this.gutter;
    shown.forEach((column, n) => {
      const before = shown[n - 1];
      if (n > 0 && column.epoch === before?.epoch) return;
      if (n > 0) line(context, x(n) + 0.5, TOP - 4, x(n) + 0.5, TOP, t.faint);
      const back = before && column.step <= before.step;
      const said = `${back ? "↩ " : ""}epoch ${column.epoch}`;
      const wide = context.measureText(said).width;
      if (x(n) < free || x(n) + wide > this.width) return;
      text(context, said, x(n) + 2, 8, back ? t.warn : t.faint);
      free = x(n) + wide + 10;
    });
    this.loss(context, shown, x);
    const tall = this.mapHeight / this.layers.length;
    if (chosen !== null) {
      context.strokeStyle = t.paper;
      context.lineWidth = 3;
      context.strokeRect(this.gutter, TOP + chosen * tall, this.room * this.step, tall);
      context.strokeStyle = t.ink;
      context.lineWidth = 1;
      context.strokeRect(this.gutter, TOP + chosen * tall, this.room * this.step, tall);
    }
    if (cell) {
      line(context, x(cell.place + 0.5), TOP, x(cell.place + 0.5), this.height - 18, t.ink);
      context.strokeStyle = t.ink;
      context.lineWidth = 2;
      context.strokeRect(x(cell.place) - 2, TOP + cell.layer * tall - 1, this.step + 4, Math.max(5, tall + 2));
    }
  }

  private loss(context: CanvasRenderingContext2D, shown: readonly Column[], x: (place: number) => number): void {
    const t = theme();
    const [top, bottom] = [TOP + this.mapHeight + 12, this.height - 18];
    const known = shown.map((column) => column.loss).filter(finite);
    const right = this.gutter + this.room * this.step;
    line(context, this.gutter, bottom + 0.5, right, bottom + 0.5, t.line);
    if (!known.length) return text(context, "no loss yet", this.gutter + 4, (top + bottom) / 2, t.faint);
    const [least, most] = [Math.min(...known), Math.max(...known)];
    const decades = least > 0 && most > 100 * least;
    const room = decades ? 0 : 0.05 * (most - least) || 0.05 * Math.abs(most) || 0.1;
    const up = axis(least - (least > 0 ? Math.min(room, least) : room), most + room, bottom, top, decades);
    const all = ticks(up.low, up.high, decades, 2);
    for (const tick of all) {
      line(context, this.gutter, up(tick), right, up(tick), t.line);
      text(context, tickWords(tick, all, decades), this.gutter - 8, up(tick), t.faint, "right");
    }
    text(context, "loss", 0, (top + bottom) / 2, t.soft);
    context.beginPath();
    shown.forEach((column, n) => {
      const at = x(n + 0.5);
      if (!finite(column.loss)) return;
      const before = shown[n - 1];
      if (before && finite(before.loss) && before.step < column.step) context.lineTo(at, up(column.loss));
      else context.moveTo(at, up(column.loss));
    });
    context.strokeStyle = t.after;
    context.lineWidth = 1.5;
    context.stroke();
    shown.forEach((column, n) => {
      if (!finite(column.loss)) text(context, "×", x(n + 0.5), top + 4, t.bad, "center");
    });
    const [first, last] = [shown[0], shown[shown.length - 1]];
    if (first && last) {
      text(context, `step ${first.step}`, this.gutter, bottom + 10, t.faint);
      if (shown.length > 40) text(context, `step ${last.step}`, x(shown.length), bottom + 10, t.faint, "right");
    }
  }

  /** The cell under a place of the picture. */
  at(px: number, py: number): { layer: number; place: number } | null {
    const place = Math.floor((px - this.gutter) / this.step);
    const layer = Math.floor(((py - TOP) / this.mapHeight) * this.layers.length);
    const many = Math.min(this.room, this.stream.columns.length);
    return place >= 0 && place < many && layer >= 0 && layer < this.layers.length ? { layer, place } : null;
  }

  gradient(): string {
    const scale = sequential(theme().dark);
    return `linear-gradient(to right, ${[0, 0.2, 0.4, 0.6, 0.8, 1].map((part) => css(scale(part))).join(",")})`;
  }
}
