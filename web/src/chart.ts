/** The map of rows × inputs: what is seen of it, what is chosen in it, what keys and pointers do. */

import { stretches } from "./bins";
import { Frame } from "./frame";
import { Gestures, type Place } from "./gestures";
import { lineName, BRACKET, brackets, drawGutter, findingsOf, type Gutter, nameWithin, spanAt } from "./gutter";
import { between, groups, places, type Group } from "./columns";
import { type Cell, stepped } from "./cursor";
import { Leaving, make, onFrame } from "./dom";
import { type Line, lines, type Span, spans, toggled } from "./lines";
import { type Painted, paintedMap } from "./map";
import { drawMarks } from "./marks";
import type { Atlas, Finding, Page } from "./page";
import { type Pictures, picture, pictures } from "./pictures";
import { FONT, ratio, sheet, theme, type Theme } from "./sheet";
import { faces, hatching, header, stripName, values } from "./scene";
import { type Shown, shown } from "./shown";
import type { Store, Zoom } from "./store";
import { fitted, moved, showing, whole, zoomed } from "./window";

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
  private readonly gestures: Gestures;
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
    this.gestures = new Gestures({
      frame: this.frame,
      place: () => this.place,
      zoomed: () => store.now.zoom !== null,
      zoom: (factor, around) => this.zoom(factor, around),
      pan: (across, down) => this.pan(across, down),
      select: (cell, from) => this.select(cell, from),
      another: (cell) => this.another(cell),
      anchor: () => this.anchor(),
      pressNames: (x, y) => this.pressNames(x, y),
      pressClasses: (x) => this.pressClasses(x),
      point: (x, y) => this.point(x, y),
      unpoint: () => this.unpoint(),
    }, leaving);
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

  /** The picture as it is to be now. */
  private get place(): Frame {
    const { window, width, gutterWidth, columns } = this;
    return new Frame({ window, width, gutter: gutterWidth, columns, lines: this.lines.length, pictures: this.faces !== null, strip: this.atlas.depths !== null });
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
    const at = this.place;
    const context = sheet(this.base, at.width, at.height);
    this.frame.style.height = `${at.height}px`;
    if (!context) return;
    const t = theme();
    const { of } = this;
    // Of classes that changed, the others are no gap in what was measured.
    hatching(context, at, of?.against && of.grid.kind === "category" ? t.sheet : t.line, t);
    const painted = of && this.paint(of, at, t);
    if (of && painted) {
      const { first, end, above, below } = at.seen;
      context.save();
      at.clip(context);
      context.imageSmoothingEnabled = false;
      context.drawImage(painted.canvas, at.x(first), at.y(above), at.x(end) - at.x(first), at.y(below) - at.y(above));
      values(context, at, of, this.atlas, this.lines, t);
      context.restore();
    }
    header(context, at, this.groups, t);
    if (at.faced) faces(context, at, this.atlas.inputs.order, (input) => this.face(input));
    if (this.atlas.depths && this.hooks.depths()) stripName(context, at, t);
    context.strokeStyle = t.line;
    context.lineWidth = 1;
    context.strokeRect(at.gutter - 0.5, at.top - 0.5, at.mapWidth + 1, at.mapHeight + 1);
    drawGutter(context, this.gutter(at), t, new Set(this.store.now.rows));
    this.scrollbar();
    this.hooks.drawn(of, painted);
    this.drawMarks();
  }

  private gutter(at: Frame): Gutter {
    return {
      lines: this.lines, spans: this.spans, found: this.found, rows: this.atlas.rows, width: at.gutter,
      top: (index) => at.y(index), first: at.top, last: at.bottom,
    };
  }

  /** The pixels for what is chosen, from before where they are known. */
  private paint(of: Shown, at: Frame, t: Theme): Painted | null {
    const { first, end, above, below } = at.seen;
    const key = [of.grid.name, of.moment.label, of.against?.label ?? "", first, end, above, below, Math.round(at.mapWidth), t.dark, this.store.now.folded.join()].join("|");
    const known = this.painted.get(key);
    if (known) return known;
    const order = this.atlas.inputs.order;
    const columns = stretches(first, end, at.mapWidth * ratio()).map(([from, to]) => order.slice(from, to));
    const rows = stretches(above, below, at.mapHeight * ratio()).map(([from, to]) => this.lines.slice(from, to).flatMap((one) => one.rows));
    const found = paintedMap(of, rows, columns, t.dark);
    if (!found) return null;
    if (this.painted.size > 11) this.painted.delete(this.painted.keys().next().value as string);
    this.painted.set(key, found);
    return found;
  }

  private drawMarks(): void {
    const at = this.place;
    const context = sheet(this.over, at.width, at.height);
    if (!context) return;
    const { rows, inputs } = this.store.now;
    drawMarks(context, at, {
      rows, inputs, lines: this.lines, lineOfRow: this.lineOfRow, places: this.places, order: this.atlas.inputs.order,
      cell: rows.length && inputs.length ? this.cell() : null,
      hovered: this.gestures.dragging ? null : this.hovered,
      depths: this.hooks.depths() ? this.atlas.depths : null,
    }, theme());
  }

  private scrollbar(): void {
    const { left, right } = this.window;
    const part = (right - left) / Math.max(1, this.columns);
    this.track.hidden = part > 0.999;
    this.track.style.marginLeft = `${this.gutterWidth}px`;
    this.thumb.style.left = `${(100 * left) / Math.max(1, this.columns)}%`;
    this.thumb.style.width = `${Math.max(2, 100 * part)}%`;
  }

  /** Around a place of the picture; without one around the cell, or the middle of what is seen. */
  zoom(factor: number, around?: Place): void {
    const at = this.place;
    const cell = this.store.now.inputs.length ? this.cell() : null;
    const { left, right, top, bottom } = at.window;
    const column = around ? at.column(around.x) : cell ? cell.column + 0.5 : (left + right) / 2;
    const line = around ? at.line(around.y) : cell ? cell.line + 0.5 : (top + bottom) / 2;
    this.store.set({ zoom: zoomed(at.window, factor, column, line, at.columns, at.lines) });
  }

  private pan(across: number, down: number): void {
    this.store.set({ zoom: moved(this.window, across, down, this.columns, this.lines.length) });
  }

  private listen(): void {
    const on = this.leaving;
    on.resize(this.frame, () => this.redraw());
    on.listen(this.frame, "keydown", (event) => this.key(event));
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

  /** The first input of the selection, from which a range is drawn. */
  private anchor(): Cell | null {
    const first = this.store.now.inputs[0];
    const cell = this.cell();
    return first === undefined || !cell ? null : { line: cell.line, column: this.places[first] ?? 0 };
  }

  private pressNames(x: number, y: number): void {
    const at = this.place;
    const index = Math.floor(at.line(y));
    const line = this.lines[index];
    if (!line || y < at.top || y >= at.bottom) return;
    const span = spanAt(this.gutter(at), x, index);
    const inset = brackets(this.spans) * BRACKET;
    if (line.module !== null && x < inset + 18 && !span) this.store.set({ folded: toggled(this.store.now.folded, line.module) });
    else if (span) this.store.set({ folded: toggled(this.store.now.folded, span.module), zoom: null });
    else {
      const rows = this.rowsOf(index);
      this.store.set({ rows, layer: this.atlas.rows[rows[0] ?? -1]?.layer ?? null, unit: null });
    }
  }

  private pressClasses(x: number): void {
    const column = this.place.column(x);
    const group = this.groups.find((one) => column >= one.first && column < one.end);
    if (group) this.store.set({ inputs: this.atlas.inputs.order.slice(group.first, group.end) });
  }

  private point(x: number, y: number): void {
    const at = this.place;
    const cell = at.cell(x, y);
    const inGutter = x < at.gutter && y >= at.top && y < at.bottom;
    this.hovered = cell;
    const index = cell?.line ?? (inGutter ? Math.floor(at.line(y)) : -1);
    const line = this.lines[index];
    const row = line?.rows[line.rows.length - 1];
    this.frame.style.cursor = inGutter || y < at.top ? "pointer" : "crosshair";
    if (line && row !== undefined) this.hooks.hover({ line, row, input: cell ? (this.atlas.inputs.order[cell.column] ?? null) : null }, x, y);
    else this.hooks.hover(null, x, y);
    this.remark();
  }

  private unpoint(): void {
    this.hovered = null;
    this.hooks.hover(null, 0, 0);
    this.remark();
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
