/** What a pointer does on the map: point, press, drag over a range, move, pinch, turn the wheel. */

import type { Cell } from "./cursor";
import type { Leaving } from "./dom";
import type { Frame } from "./frame";

export interface Target {
  frame: HTMLElement;
  /** The picture as it is now. */
  place: () => Frame;
  /** Whether a part of the map is seen, not all of it. */
  zoomed: () => boolean;
  zoom: (factor: number, around: Place) => void;
  pan: (columns: number, lines: number) => void;
  /** One cell, or all from another one to it. */
  select: (cell: Cell, from: Cell | null) => void;
  /** One input more, or one less. */
  another: (cell: Cell) => void;
  /** Where a range begins that Shift and a press end. */
  anchor: () => Cell | null;
  pressNames: (x: number, y: number) => void;
  pressClasses: (x: number) => void;
  point: (x: number, y: number) => void;
  unpoint: () => void;
}

export interface Place {
  x: number;
  y: number;
}

interface Drag extends Place {
  kind: "range" | "pan" | "pinch" | "names" | "classes";
  from: Cell | null;
  moved: boolean;
  /** Whether Ctrl was held: the input joins those that are chosen. */
  more: boolean;
}

export class Gestures {
  private readonly pointers = new Map<number, Place>();
  private drag: Drag | null = null;

  constructor(private readonly to: Target, leaving: Leaving) {
    const { frame } = to;
    leaving.listen(frame, "wheel", (event) => this.wheel(event), { passive: false });
    leaving.listen(frame, "pointerdown", (event) => this.press(event));
    leaving.listen(frame, "pointermove", (event) => this.move(event));
    leaving.listen(frame, "pointerup", (event) => this.release(event));
    leaving.listen(frame, "pointercancel", (event) => this.lift(event));
    leaving.listen(frame, "pointerleave", () => to.unpoint());
  }

  get dragging(): boolean {
    return this.drag?.moved ?? false;
  }

  private where(event: MouseEvent): Place {
    const { frame } = this.to;
    const box = frame.getBoundingClientRect();
    return { x: event.clientX - box.left - frame.clientLeft, y: event.clientY - box.top - frame.clientTop };
  }

  private wheel(event: WheelEvent): void {
    const { to } = this;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      if (!to.zoomed()) return;
      event.preventDefault();
      to.pan((event.deltaX || event.deltaY) / to.place().wide, 0);
      return;
    }
    // A page must not be caught by a map that it scrolls past: the wheel zooms with Ctrl, or after a click into the map.
    const held = event.ctrlKey || event.metaKey;
    if (!held && document.activeElement !== to.frame) return;
    if (!held && event.deltaY > 0 && !to.zoomed()) return; // all is seen: the page scrolls on
    event.preventDefault();
    const at = this.where(event);
    to.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 150), at);
    to.point(at.x, at.y);
  }

  private press(event: PointerEvent): void {
    const at = this.where(event);
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size === 2) {
      this.drag = { kind: "pinch", from: null, ...at, moved: true, more: false };
      return;
    }
    if (event.button > 1) return;
    const place = this.to.place();
    const cell = place.cell(at.x, at.y);
    const kind = at.x < place.gutter ? "names" : at.y < place.top ? "classes" : event.button === 1 || event.altKey ? "pan" : "range";
    if (kind === "pan") event.preventDefault();
    if (kind === "range" && !cell) return;
    const anchor = kind === "range" && event.shiftKey ? this.to.anchor() : null;
    this.drag = { kind, from: anchor ?? cell, ...at, moved: anchor !== null, more: event.ctrlKey || event.metaKey };
    if (kind === "range" || kind === "pan") this.to.frame.setPointerCapture?.(event.pointerId);
    if (anchor && cell) this.to.select(cell, anchor);
  }

  private move(event: PointerEvent): void {
    const at = this.where(event);
    const { drag, to } = this;
    if (!drag) return to.point(at.x, at.y);
    if (drag.kind === "pinch") return this.pinch(event.pointerId, at);
    if (Math.hypot(at.x - drag.x, at.y - drag.y) > 4) drag.moved = true;
    if (!drag.moved) return;
    const place = to.place();
    if (drag.kind === "pan") {
      to.pan((drag.x - at.x) / place.wide, (drag.y - at.y) / place.tall);
      [drag.x, drag.y] = [at.x, at.y];
    } else if (drag.kind === "range" && drag.from) {
      const cell = place.cell(at.x, at.y, true);
      if (cell) to.select({ line: drag.from.line, column: cell.column }, drag.from);
    }
  }

  private pinch(id: number, at: Place): void {
    if (!this.pointers.has(id)) return;
    const [a, b] = [...this.pointers.values()];
    this.pointers.set(id, at);
    const [c, d] = [...this.pointers.values()];
    if (!a || !b || !c || !d) return;
    const factor = Math.hypot(d.x - c.x, d.y - c.y) / Math.max(1, Math.hypot(b.x - a.x, b.y - a.y));
    this.to.zoom(factor, { x: (c.x + d.x) / 2, y: (c.y + d.y) / 2 });
    const place = this.to.place();
    this.to.pan((a.x + b.x - c.x - d.x) / 2 / place.wide, (a.y + b.y - c.y - d.y) / 2 / place.tall);
  }

  /** Only where the pointer has stayed is it a press: a finger that scrolls the page chooses nothing. */
  private release(event: PointerEvent): void {
    const drag = this.lift(event);
    if (!drag || drag.moved) return;
    if (drag.kind === "names") this.to.pressNames(drag.x, drag.y);
    else if (drag.kind === "classes") this.to.pressClasses(drag.x);
    else if (drag.kind === "range" && drag.from) drag.more ? this.to.another(drag.from) : this.to.select(drag.from, null);
  }

  private lift(event: PointerEvent): Drag | null {
    this.pointers.delete(event.pointerId);
    const { drag } = this;
    if (this.pointers.size === 0) this.drag = null;
    return drag;
  }
}
