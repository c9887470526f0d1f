/** The map of rows × inputs on its canvases: what is drawn, pointed at and pressed. */

import { stretches } from "./bins";
import { lineName, BRACKET, brackets, drawGutter, findingsOf, type Gutter, nameWithin, spanAt } from "./gutter";
import { between, groups, places, type Group } from "./columns";
import { category, css, onto } from "./colour";
import { type Cell, stepped } from "./cursor";
import { Leaving, make, onFrame } from "./dom";
import { type Line, lines, type Span, spans, toggled } from "./lines";
import { colourOf, exact, type Painted, paintedMap } from "./map";
import type { Atlas, Finding, Page } from "./page";
import { type Pictures, picture, pictures } from "./pictures";
import { fitting, FONT, line, ratio, sheet, text, theme, type Theme } from "./plot";
import { type Shown, shown } from "./shown";
import type { Store, Zoom } from "./store";
import { fitted, moved, showing, whole, zoomed } from "./window";
import { valueWords } from "./cellwords";

const CLASSES = 22;
const FACE = 24;
const STRIP = 14;
const TALLEST = 20;
const FEW = 12;
const MAP_HEIGHT = 560;

export interface Hooks {
  /** A cell under the pointer, or none; where on the frame. */
  hover: (cell: { line: Line; row: number; input: number | null } | null, x: number, y: number) => void;
  /** Another picture is there: what its cells share, and the statistic. */
  drawn: (of: Shown | null, painted: Painted | null) => void;
  open: () => void;
  /** The numbers of this map are damaged. */
  unreadable: () => void;
  depths: () => boolean;
}

export class Chart {
  readonly frame: HTMLDivElement;
  of: Shown | null = null;
  lines: Line[] = [];
  private spans: Span[] = [];
  private readonly base = make("canvas", { class: "nw-layer", "aria-hidden": "true" });
  private readonly over = make("canvas", { class: "nw-layer", "aria-hidden": "true" });
  private readonly thumb = make("div", { class: "nw-thumb" });
  private readonly track = make("div", { class: "nw-track", hidden: true }, this.thumb);
  private readonly painted = new Map<string, Painted>();
  private readonly places: Int32Array;
  private readonly groups: Group[];
  private lineOfRow = new Int32Array(0);
  private found: Finding[][] = [];
  private longest = 0;
  private faces: Pictures | null = null;
  private readonly drawn = new Map<number, HTMLCanvasElement>();
  private gutterWidth = 160;
  private width = 0;
  private asked = 0;
  private hovered: Cell | null = null;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private drag: { kind: "range" | "pan" | "pinch"; from: Cell; x: number; y: number; moved: boolean; more: boolean } | null = null;
  private readonly redraw = onFrame(() => this.draw());
  private readonly remark = onFrame(() => this.drawMarks());

  constructor(
    private readonly page: Page,
    private readonly atlas: Atlas,
    private readonly store: Store,
    private readonly hooks: Hooks,
    private readonly leaving: Leaving,
  ) {
    this.places = places(atlas.inputs);
    this.groups = groups(atlas.inputs);
    this.frame = make("div", { class: "nw-map", tabindex: 0, role: "application", "aria-roledescription": "map" }, this.base, this.over);
    this.fold();
    this.listen();
    void pictures(atlas.inputs).then(
      (all) => {
        this.faces = all;
        this.redraw();
      },
      () => undefined, // without pictures the map is as good
    );
  }

  /** Beneath the map; moves what is seen of it. */
  get bar(): HTMLElement {
    return this.track;
  }

  private get columns(): number {
    return this.atlas.inputs.order.length;
  }

  private get window(): Zoom {
    const zoom = this.store.now.zoom;
    return (zoom && fitted(zoom, this.columns, this.lines.length)) ?? whole(this.columns, this.lines.length);
  }

  private get mapWidth(): number {
    return Math.max(40, this.width - this.gutterWidth - 1);
  }

  private get mapHeight(): number {
    const all = this.lines.length * (this.lines.length <= FEW ? 1.4 * TALLEST : TALLEST);
    return Math.max(60, Math.min(all, MAP_HEIGHT));
  }

  /** Whether columns are wide enough for a picture of their input. */
  private get faced(): boolean {
    const { left, right } = this.window;
    return this.faces !== null && this.mapWidth / (right - left) >= 15;
  }

  /** Where the map begins, beneath the classes and pictures of its columns. */
  private get top(): number {
    return CLASSES + (this.faced ? FACE : 0);
  }

  private get height(): number {
    return this.top + this.mapHeight + (this.atlas.depths ? STRIP : 2);
  }

  fold(): void {
    this.lines = lines(this.atlas.rows, this.store.now.folded);
    this.spans = spans(this.atlas.rows, this.lines);
    this.lineOfRow = new Int32Array(this.atlas.rows.length);
    this.lines.forEach((line, index) => {
      for (const row of line.rows) this.lineOfRow[row] = index;
    });
    this.found = this.lines.map((line) => findingsOf(this.page, line));
  }

  /** Something else is to be seen: another statistic, another part. */
  async update(): Promise<void> {
    const asked = ++this.asked;
    let of: Shown | null = null;
    try {
      of = await shown(this.atlas, this.store.now);
    } catch {
      this.hooks.unreadable();
    }
    if (asked !== this.asked) return;
    this.of = of;
    this.redraw();
  }

  changed(parts: ReadonlySet<string>): void {
    if (parts.has("folded")) this.fold();
    if (parts.has("page")) this.painted.clear();
    if (["statistic", "moment", "against", "page"].some((part) => parts.has(part))) void this.update();
    else if (parts.has("folded") || parts.has("zoom")) this.redraw();
    else this.remark();
    if (parts.has("rows")) this.redraw();
  }

  /** The picture of an input; null where there is none. */
  face(input: number): HTMLCanvasElement | null {
    if (!this.faces) return null;
    let known = this.drawn.get(input);
    if (!known) {
      if (this.drawn.size > 300) this.drawn.clear();
      this.drawn.set(input, (known = picture(this.faces, input, "")));
    }
    return known;
  }

  repaint(): void {
    this.painted.clear();
    this.redraw();
  }

  // ------------------------------------------------------------------ places

  private x(place: number): number {
    const { left, right } = this.window;
    return this.gutterWidth + ((place - left) / (right - left)) * this.mapWidth;
  }

  private y(index: number): number {
    const { top, bottom } = this.window;
    return this.top + ((index - top) / (bottom - top)) * this.mapHeight;
  }

  private at(x: number, y: number): { column: number; line: number } {
    const { left, right, top, bottom } = this.window;
    return {
      column: left + ((x - this.gutterWidth) / this.mapWidth) * (right - left),
      line: top + ((y - this.top) / this.mapHeight) * (bottom - top),
    };
  }

  /** The cell under a place of the frame; kept inside where the pointer has left the map while it drags. */
  private cellAt(x: number, y: number, inside = false): Cell | null {
    const at = this.at(x, y);
    const out = x < this.gutterWidth || x >= this.gutterWidth + this.mapWidth || y < this.top || y >= this.top + this.mapHeight;
    if (out && !inside) return null;
    const clamp = (value: number, size: number) => Math.min(size - 1, Math.max(0, Math.floor(value)));
    return { column: clamp(at.column, this.columns), line: clamp(at.line, this.lines.length) };
  }

  /** Where the selection's cell is. */
  cell(): Cell | null {
    const { rows, inputs } = this.store.now;
    const row = rows[0];
    const input = inputs[inputs.length - 1];
    if (row === undefined && input === undefined) return null;
    const column = input === undefined ? Math.floor(this.window.left) : (this.places[input] ?? 0);
    const line = row === undefined ? Math.floor(this.window.top) : (this.lineOfRow[row] ?? 0);
    return { column: Math.max(0, column), line };
  }

  /** The rows of a line, the last one first: that is where a module ends. */
  private rowsOf(index: number): number[] {
    const rows = this.lines[index]?.rows ?? [];
    return rows.length > 1 ? [rows[rows.length - 1] as number, ...rows.slice(0, -1)] : [...rows];
  }

  private select(cell: Cell, from: Cell | null): void {
    const rows = this.rowsOf(cell.line);
    const order = this.atlas.inputs.order;
    const inputs = from ? between(order, from.column, cell.column) : [order[cell.column] ?? 0];
    this.store.set({ rows, inputs, layer: this.atlas.rows[rows[0] ?? -1]?.layer ?? null, unit: null });
  }

  // ------------------------------------------------------------------ drawing

  private measure(): void {
    this.width = Math.max(260, Math.floor(this.frame.clientWidth));
    const context = this.longest ? null : this.base.getContext("2d");
    if (context) {
      context.font = `600 12px ${FONT}`;
      for (const row of this.atlas.rows.slice(0, 400)) this.longest = Math.max(60, this.longest, context.measureText(nameWithin(row)).width);
    }
    const most = Math.min(240, 0.34 * this.width);
    this.gutterWidth = Math.round(Math.min(most, this.longest + brackets(this.spans) * BRACKET + 24));
  }

  draw(): void {
    this.measure();
    const context = sheet(this.base, this.width, this.height);
    this.frame.style.height = `${this.height}px`;
    if (!context) return;
    const t = theme();
    const { left, right, top, bottom } = this.window;
    this.hatching(context, t);
    const of = this.of;
    let painted: Painted | null = null;
    if (of) {
      const [first, end] = [Math.floor(left), Math.min(this.columns, Math.ceil(right))];
      const [above, below] = [Math.floor(top), Math.min(this.lines.length, Math.ceil(bottom))];
      painted = this.paint(of, first, end, above, below, t);
      if (painted) {
        context.save();
        context.beginPath();
        context.rect(this.gutterWidth, this.top, this.mapWidth, this.mapHeight);
        context.clip();
        context.imageSmoothingEnabled = false;
        context.drawImage(painted.canvas, this.x(first), this.y(above), this.x(end) - this.x(first), this.y(below) - this.y(above));
        this.numbers(context, of, first, end, above, below, t);
        context.restore();
      }
    }
    this.header(context, t);
    context.strokeStyle = t.line;
    context.lineWidth = 1;
    context.strokeRect(this.gutterWidth - 0.5, this.top - 0.5, this.mapWidth + 1, this.mapHeight + 1);
    drawGutter(context, this.gutter(), t, new Set(this.store.now.rows));
    this.scrollbar();
    this.hooks.drawn(of, painted);
    this.drawMarks();
  }

  private gutter(): Gutter {
    return {
      lines: this.lines, spans: this.spans, found: this.found, rows: this.atlas.rows, width: this.gutterWidth,
      top: (index) => this.y(index), height: this.height, first: this.top, last: this.top + this.mapHeight,
    };
  }

  private paint(of: Shown, first: number, end: number, above: number, below: number, t: Theme): Painted | null {
    const dots = ratio();
    const key = [of.grid.name, of.moment.label, of.against?.label ?? "", first, end, above, below, Math.round(this.mapWidth), t.dark, this.store.now.folded.join()].join("|");
    const known = this.painted.get(key);
    if (known) return known;
    const order = this.atlas.inputs.order;
    const columns = stretches(first, end, this.mapWidth * dots).map(([from, to]) => order.slice(from, to));
    const rows = stretches(above, below, this.mapHeight * dots).map(([from, to]) => this.lines.slice(from, to).flatMap((one) => one.rows));
    const found = paintedMap(of, rows, columns, t.dark);
    if (!found) return null;
    if (this.painted.size > 11) this.painted.delete(this.painted.keys().next().value as string);
    this.painted.set(key, found);
    return found;
  }

  /** Thin stripes behind the map: where they show, nothing was measured. */
  private hatching(context: CanvasRenderingContext2D, t: Theme): void {
    context.save();
    context.beginPath();
    context.rect(this.gutterWidth, this.top, this.mapWidth, this.mapHeight);
    context.clip();
    context.fillStyle = t.sheet;
    context.fill();
    context.strokeStyle = this.of?.against && this.of.grid.kind === "category" ? t.sheet : t.line;
    context.lineWidth = 1;
    context.beginPath();
    for (let x = -this.mapHeight; x < this.mapWidth; x += 7) {
      context.moveTo(this.gutterWidth + x, this.top + this.mapHeight);
      context.lineTo(this.gutterWidth + x + this.mapHeight, this.top);
    }
    context.stroke();
    context.restore();
  }

  /** The values themselves, where a cell has room for them. */
  private numbers(context: CanvasRenderingContext2D, of: Shown, first: number, end: number, above: number, below: number, t: Theme): void {
    const wide = this.x(1) - this.x(0);
    const tall = this.y(1) - this.y(0);
    if (wide < (of.grid.kind === "category" ? 14 : 34) || tall < 13) return;
    context.font = `11px ${FONT}`;
    for (let index = above; index < below; index++) {
      const row = this.lines[index]?.rows;
      if (row?.length !== 1) continue;
      for (let place = first; place < end; place++) {
        const input = this.atlas.inputs.order[place] as number;
        const value = exact(of, row[0] as number, input);
        if (value === null) continue;
        const said = of.grid.kind === "category" ? valueWords(of, value, this.atlas.inputs) : valueWords({ ...of, grid: { ...of.grid, unit: "" } }, value, this.atlas.inputs);
        if (context.measureText(said).width > wide - 4) continue;
        const code = of.codes[(row[0] as number) * of.columns + input] as number;
        text(context, said, this.x(place + 0.5), this.y(index + 0.5) + 0.5, onto(colourOf(of, code, t.dark)), "center");
      }
    }
  }

  /** Classes above their columns. */
  private header(context: CanvasRenderingContext2D, t: Theme): void {
    context.save();
    context.beginPath();
    context.rect(this.gutterWidth, 0, this.mapWidth, this.height);
    context.clip();
    context.font = `11px ${FONT}`;
    for (const group of this.groups) {
      const from = Math.max(this.gutterWidth, this.x(group.first));
      const to = Math.min(this.gutterWidth + this.mapWidth, this.x(group.end));
      if (to <= from) continue;
      context.fillStyle = css(category(group.label, t.dark));
      context.fillRect(from, CLASSES - 6, to - from - (to - from > 4 ? 1 : 0), 4);
      const name = fitting(context, group.name, to - from - 3);
      if (name.length > 1 || name === group.name) text(context, name, (from + to) / 2, 7, t.soft, "center");
      if (group.first > this.window.left && to - from > 6) {
        context.globalAlpha = 0.6;
        line(context, this.x(group.first), this.top, this.x(group.first), this.top + this.mapHeight, t.paper, 1);
        context.globalAlpha = 1;
      }
    }
    if (this.faced) this.pictures(context);
    if (!this.groups.length) text(context, `${this.columns} inputs`, this.gutterWidth + 2, 8, t.faint);
    context.restore();
    if (this.atlas.depths && this.hooks.depths()) {
      context.font = `11px ${FONT}`;
      text(context, fitting(context, "never right", this.gutterWidth - 10), this.gutterWidth - 8, this.top + this.mapHeight + STRIP / 2 + 1, t.faint, "right");
    }
  }

  private pictures(context: CanvasRenderingContext2D): void {
    const { left, right } = this.window;
    const size = Math.min(FACE - 2, this.x(1) - this.x(0) - 1);
    for (let place = Math.floor(left); place < Math.min(this.columns, right); place++) {
      const face = this.face(this.atlas.inputs.order[place] as number);
      if (!face) continue;
      const scale = size / Math.max(face.width, face.height);
      const [w, h] = [face.width * scale, face.height * scale];
      context.imageSmoothingEnabled = face.width > size * ratio();
      context.drawImage(face, this.x(place + 0.5) - w / 2, CLASSES + (FACE - 2 - h) / 2 - 1, w, h);
    }
  }

  private drawMarks(): void {
    const context = sheet(this.over, this.width, this.height);
    if (!context) return;
    const t = theme();
    const { rows, inputs } = this.store.now;
    context.save();
    context.beginPath();
    context.rect(this.gutterWidth - 5, this.top - 8, this.mapWidth + 10, this.mapHeight + STRIP + 8);
    context.clip();
    if (this.hooks.depths()) this.depths(context, t);
    if (inputs.length > 1 || rows.length > 1) this.veil(context, t, new Set(rows), new Set(inputs));
    for (const [from, end] of this.runs(inputs)) {
      const [x1, x2] = [this.x(from), this.x(end)];
      if (inputs.length > 1) {
        context.fillStyle = t.ink;
        context.fillRect(x1, this.top - 3, Math.max(1, x2 - x1), 3);
      } else {
        outline(context, t, x1, this.top, x2 - x1, this.mapHeight);
        context.fillStyle = t.ink;
        context.beginPath();
        const x = (x1 + x2) / 2;
        context.moveTo(x - 5, this.top - 7);
        context.lineTo(x + 5, this.top - 7);
        context.lineTo(x, this.top);
        context.fill();
      }
    }
    if (rows.length === 1 || inputs.length <= 1)
      for (const index of new Set(rows.map((row) => this.lineOfRow[row] ?? 0)))
        outline(context, t, this.gutterWidth, this.y(index), this.mapWidth, this.y(index + 1) - this.y(index));
    const cell = rows.length && inputs.length ? this.cell() : null;
    if (cell && cell.line >= this.window.top - 1) {
      const [x, y, w, h] = [this.x(cell.column), this.y(cell.line), this.x(1) - this.x(0), this.y(1) - this.y(0)];
      const [wide, tall] = [Math.max(7, w), Math.max(7, h)];
      context.lineWidth = 5;
      context.strokeStyle = t.paper;
      context.strokeRect(x + w / 2 - wide / 2, y + h / 2 - tall / 2, wide, tall);
      context.lineWidth = 2;
      context.strokeStyle = t.ink;
      context.strokeRect(x + w / 2 - wide / 2, y + h / 2 - tall / 2, wide, tall);
    }
    if (this.hovered && !this.drag?.moved) {
      const { column, line: index } = this.hovered;
      context.globalAlpha = 0.55;
      outline(context, t, this.x(column), this.y(index), Math.max(2, this.x(1) - this.x(0)), this.y(index + 1) - this.y(index));
      context.globalAlpha = 1;
    }
    context.restore();
  }

  /** What is not chosen steps back. */
  private veil(context: CanvasRenderingContext2D, t: Theme, rows: ReadonlySet<number>, inputs: ReadonlySet<number>): void {
    context.fillStyle = t.paper;
    context.globalAlpha = 0.62;
    const { mapHeight, mapWidth, gutterWidth } = this;
    if (inputs.size > 1) {
      let at = this.window.left;
      for (const [from, end] of [...this.runs([...inputs]), [this.window.right, this.window.right] as const]) {
        if (from > at) context.fillRect(this.x(at), this.top, this.x(from) - this.x(at), mapHeight);
        at = Math.max(at, end);
      }
    }
    if (rows.size > 1)
      this.lines.forEach((one, index) => {
        if (!one.rows.some((row) => rows.has(row))) context.fillRect(gutterWidth, this.y(index), mapWidth, this.y(index + 1) - this.y(index));
      });
    context.globalAlpha = 1;
  }

  /** Neighbouring columns of some inputs, in the order of columns. */
  private runs(inputs: readonly number[]): [number, number][] {
    const chosen = inputs.map((input) => this.places[input] ?? -1).filter((place) => place >= 0).sort((a, b) => a - b);
    const found: [number, number][] = [];
    for (const place of chosen) {
      const last = found[found.length - 1];
      if (last && last[1] === place) last[1] = place + 1;
      else found.push([place, place + 1]);
    }
    return found;
  }

  /** A line through the columns at the row from which on the belief is right; a tick beneath where it never is. */
  private depths(context: CanvasRenderingContext2D, t: Theme): void {
    const depths = this.atlas.depths;
    if (!depths) return;
    const [first, end] = [Math.floor(this.window.left), Math.min(this.columns, Math.ceil(this.window.right))];
    const path = new Path2D();
    const never = new Path2D();
    const bottom = this.top + this.mapHeight;
    for (const [from, to] of stretches(first, end, this.mapWidth)) {
      let [depth, lost] = [-1, false];
      for (let place = from; place < to; place++) {
        const here = depths[this.atlas.inputs.order[place] as number] ?? -1;
        if (here < 0) lost = true;
        else depth = Math.max(depth, this.lineOfRow[here] ?? 0);
      }
      const [x1, x2] = [this.x(from), this.x(to)];
      const y = Math.max(this.top + 1, this.y(depth));
      if (depth >= 0 && y < bottom && this.y(depth + 1) > this.top) {
        path.moveTo(x1, y);
        path.lineTo(x2, y);
      }
      if (lost) never.rect(x1, bottom + 4, Math.max(1, x2 - x1 - (x2 - x1 > 3 ? 1 : 0)), STRIP - 6);
    }
    context.lineWidth = 3.5;
    context.strokeStyle = t.paper;
    context.stroke(path);
    context.lineWidth = 1.5;
    context.strokeStyle = t.ink;
    context.stroke(path);
    context.fillStyle = t.bad;
    context.fill(never);
  }

  private scrollbar(): void {
    const { left, right } = this.window;
    const part = (right - left) / Math.max(1, this.columns);
    this.track.hidden = part > 0.999;
    this.track.style.marginLeft = `${this.gutterWidth}px`;
    this.thumb.style.left = `${(100 * left) / Math.max(1, this.columns)}%`;
    this.thumb.style.width = `${Math.max(2, 100 * part)}%`;
  }

  // ------------------------------------------------------------------ pointer and keys

  zoom(factor: number, x = this.gutterWidth + this.mapWidth / 2, y = this.top + this.mapHeight / 2): void {
    const at = this.at(x, y);
    const cell = this.store.now.inputs.length ? this.cell() : null;
    const middle = x === this.gutterWidth + this.mapWidth / 2 && cell ? { column: cell.column + 0.5, line: cell.line + 0.5 } : at;
    this.store.set({ zoom: zoomed(this.window, factor, middle.column, middle.line, this.columns, this.lines.length) });
  }

  private pan(across: number, down: number): void {
    this.store.set({ zoom: moved(this.window, across, down, this.columns, this.lines.length) });
  }

  private listen(): void {
    const on = this.leaving;
    const { frame } = this;
    on.resize(frame, () => this.redraw());
    on.listen(frame, "keydown", (event) => this.key(event));
    on.listen(frame, "wheel", (event) => this.wheel(event), { passive: false });
    on.listen(frame, "pointerdown", (event) => this.press(event));
    on.listen(frame, "pointermove", (event) => this.move(event));
    on.listen(frame, "pointerup", (event) => this.release(event));
    on.listen(frame, "pointercancel", (event) => this.release(event, true));
    on.listen(frame, "pointerleave", () => this.unpoint());
    on.listen(this.track, "pointerdown", (event) => {
      this.track.setPointerCapture(event.pointerId);
      this.slide(event);
    });
    on.listen(this.track, "pointermove", (event) => event.buttons & 1 && this.slide(event));
  }

  private slide(event: PointerEvent): void {
    const box = this.track.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * this.columns;
    this.pan(at - (this.window.left + this.window.right) / 2, 0);
  }

  private place(event: MouseEvent): { x: number; y: number } {
    const box = this.frame.getBoundingClientRect();
    return { x: event.clientX - box.left - this.frame.clientLeft, y: event.clientY - box.top - this.frame.clientTop };
  }

  private wheel(event: WheelEvent): void {
    const { left, right } = this.window;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      if (!this.store.now.zoom) return;
      event.preventDefault();
      this.pan((((event.deltaX || event.deltaY) * (right - left)) / this.mapWidth) * 1, 0);
      return;
    }
    // A page must not be caught by a map that it scrolls past: the wheel zooms with Ctrl, or after a click into the map.
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.frame) return;
    event.preventDefault();
    const { x, y } = this.place(event);
    this.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 150), x, y);
    this.point(x, y);
  }

  private press(event: PointerEvent): void {
    const { x, y } = this.place(event);
    this.pointers.set(event.pointerId, { x, y });
    if (this.pointers.size === 2) {
      this.drag = { kind: "pinch", from: { line: 0, column: 0 }, x, y, moved: true, more: false };
      return;
    }
    if (event.button > 1) return;
    if (x < this.gutterWidth) return this.pressGutter(x, y);
    if (y < this.top) return this.pressHeader(x);
    const cell = this.cellAt(x, y);
    if (!cell) return;
    this.frame.setPointerCapture?.(event.pointerId);
    if (event.button === 1 || event.altKey) {
      event.preventDefault();
      this.drag = { kind: "pan", from: cell, x, y, moved: false, more: false };
      return;
    }
    const anchor = event.shiftKey ? this.anchor() : null;
    this.drag = { kind: "range", from: anchor ?? cell, x, y, moved: anchor !== null, more: event.ctrlKey || event.metaKey };
    if (anchor) this.select(cell, anchor);
  }

  /** The first input of the selection, from which a range is drawn. */
  private anchor(): Cell | null {
    const first = this.store.now.inputs[0];
    const cell = this.cell();
    return first === undefined || !cell ? null : { line: cell.line, column: this.places[first] ?? 0 };
  }

  private pressGutter(x: number, y: number): void {
    const at = this.at(x, y);
    const index = Math.floor(at.line);
    const line = this.lines[index];
    if (!line || y < this.top) return;
    const span = spanAt(this.gutter(), x, index);
    const inset = brackets(this.spans) * BRACKET;
    if (line.module !== null && x < inset + 18 && !span) this.store.set({ folded: toggled(this.store.now.folded, line.module) });
    else if (span) this.store.set({ folded: toggled(this.store.now.folded, span.module), zoom: null });
    else {
      const rows = this.rowsOf(index);
      this.store.set({ rows, layer: this.atlas.rows[rows[0] ?? -1]?.layer ?? null, unit: null });
    }
  }

  private pressHeader(x: number): void {
    const { column } = this.at(x, 0);
    const group = this.groups.find((one) => column >= one.first && column < one.end);
    if (group) this.store.set({ inputs: this.atlas.inputs.order.slice(group.first, group.end) });
  }

  private move(event: PointerEvent): void {
    const { x, y } = this.place(event);
    if (this.drag?.kind === "pinch" && this.pointers.has(event.pointerId)) return this.pinch(event.pointerId, x, y);
    if (this.drag && this.drag.kind !== "pinch") {
      if (Math.hypot(x - this.drag.x, y - this.drag.y) > 4) this.drag.moved = true;
      if (!this.drag.moved) return;
      if (this.drag.kind === "pan") {
        const { left, right, top, bottom } = this.window;
        this.pan(((this.drag.x - x) / this.mapWidth) * (right - left), ((this.drag.y - y) / this.mapHeight) * (bottom - top));
        this.drag.x = x;
        this.drag.y = y;
        return;
      }
      const to = this.cellAt(x, y, true);
      if (to) this.select({ line: this.drag.from.line, column: to.column }, this.drag.from);
      return;
    }
    this.point(x, y);
  }

  private point(x: number, y: number): void {
    const cell = this.cellAt(x, y);
    const inGutter = x < this.gutterWidth && y >= this.top && y < this.top + this.mapHeight;
    this.hovered = cell;
    const index = cell?.line ?? (inGutter ? Math.floor(this.at(x, y).line) : -1);
    const line = this.lines[index];
    const row = line?.rows[line.rows.length - 1];
    this.frame.style.cursor = inGutter || y < this.top ? "pointer" : "crosshair";
    if (line && row !== undefined) this.hooks.hover({ line, row, input: cell ? (this.atlas.inputs.order[cell.column] ?? null) : null }, x, y);
    else this.hooks.hover(null, x, y);
    this.remark();
  }

  private unpoint(): void {
    this.hovered = null;
    this.hooks.hover(null, 0, 0);
    this.remark();
  }

  private pinch(id: number, x: number, y: number): void {
    const before = [...this.pointers.values()];
    this.pointers.set(id, { x, y });
    const now = [...this.pointers.values()];
    const [a, b] = before;
    const [c, d] = now;
    if (!a || !b || !c || !d) return;
    const factor = Math.hypot(d.x - c.x, d.y - c.y) / Math.max(1, Math.hypot(b.x - a.x, b.y - a.y));
    this.zoom(factor, (c.x + d.x) / 2 + 0.001, (c.y + d.y) / 2);
    const { left, right, top, bottom } = this.window;
    this.pan((((a.x + b.x) / 2 - (c.x + d.x) / 2) / this.mapWidth) * (right - left), (((a.y + b.y) / 2 - (c.y + d.y) / 2) / this.mapHeight) * (bottom - top));
  }

  private release(event: PointerEvent, cancelled = false): void {
    this.pointers.delete(event.pointerId);
    const drag = this.drag;
    if (this.pointers.size === 0) this.drag = null;
    if (!drag || cancelled || drag.kind !== "range" || drag.moved) return;
    if (drag.more) this.another(drag.from);
    else this.select(drag.from, null);
  }

  /** One input more, or one less. */
  private another(cell: Cell): void {
    const input = this.atlas.inputs.order[cell.column] ?? 0;
    const { inputs, rows } = this.store.now;
    this.store.set({
      inputs: inputs.includes(input) ? inputs.filter((one) => one !== input) : [...inputs, input],
      rows: rows.length ? rows : this.rowsOf(cell.line),
    });
  }

  private key(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cell = this.cell();
    if (event.key === "Enter") this.hooks.open();
    else if (event.key === "Escape") this.store.clear();
    else if (event.key === "+" || event.key === "=") this.zoom(1.6);
    else if (event.key === "-") this.zoom(1 / 1.6);
    else if (event.key === "0") this.store.set({ zoom: null });
    else if (event.key === "f") this.foldHere(cell);
    else {
      const next = stepped(cell, event.key, this.columns, this.lines.length);
      if (!next) return;
      const across = event.shiftKey && (event.key === "ArrowLeft" || event.key === "ArrowRight" || event.key === "Home" || event.key === "End");
      this.select(next, across ? this.anchor() : null);
      if (this.store.now.zoom) this.store.set({ zoom: showing(this.window, next.column, next.line, this.columns, this.lines.length) });
    }
    this.unpoint();
    event.preventDefault();
  }

  private foldHere(cell: Cell | null): void {
    const line = cell && this.lines[cell.line];
    if (!line) return;
    const parent = this.atlas.rows[line.rows[0] ?? -1]?.parent;
    const module = line.module ?? parent;
    if (module) this.store.set({ folded: toggled(this.store.now.folded, module) });
  }

  /** What the pointer is told of a row. */
  about(line: Line): { name: string; findings: string[] } {
    return { name: lineName(line, this.atlas.rows), findings: findingsOf(this.page, line).map((one) => `${one.status}: ${one.cause}`) };
  }
}

function outline(context: CanvasRenderingContext2D, t: Theme, x: number, y: number, width: number, height: number): void {
  context.lineWidth = 3;
  context.strokeStyle = t.paper;
  context.strokeRect(x, y, width, height);
  context.lineWidth = 1;
  context.strokeStyle = t.ink;
  context.strokeRect(x, y, width, height);
}
