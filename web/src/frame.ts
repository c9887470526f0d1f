/** Where things stand in the picture of the map: names at the left, classes above, depths beneath. */

import type { Cell } from "./cursor";
import type { Zoom } from "./store";

export const CLASSES = 22;
export const FACE = 24;
export const STRIP = 14;
const TALLEST = 20;
const FEW = 12;
const MOST = 560;

export interface Sizes {
  window: Zoom;
  width: number;
  gutter: number;
  columns: number;
  lines: number;
  /** Whether there are pictures of the inputs, to be shown where columns are wide enough. */
  pictures: boolean;
  /** Whether there is a strip beneath for the inputs that are never right. */
  strip: boolean;
}

export class Frame {
  readonly window: Zoom;
  readonly width: number;
  readonly gutter: number;
  readonly columns: number;
  readonly lines: number;
  readonly mapWidth: number;
  readonly mapHeight: number;
  /** Where the map begins and ends. */
  readonly top: number;
  readonly bottom: number;
  readonly height: number;
  /** Whether pictures of the inputs stand above their columns. */
  readonly faced: boolean;

  constructor({ window, width, gutter, columns, lines, pictures, strip }: Sizes) {
    this.window = window;
    this.width = width;
    this.gutter = gutter;
    this.columns = columns;
    this.lines = lines;
    this.mapWidth = Math.max(40, width - gutter - 1);
    this.mapHeight = Math.max(60, Math.min(MOST, lines * (lines <= FEW ? 1.4 * TALLEST : TALLEST)));
    this.faced = pictures && this.wide >= 15;
    this.top = CLASSES + (this.faced ? FACE : 0);
    this.bottom = this.top + this.mapHeight;
    this.height = this.bottom + (strip ? STRIP : 2);
  }

  /** Of a column. */
  get wide(): number {
    return this.mapWidth / (this.window.right - this.window.left);
  }

  /** Of a line. */
  get tall(): number {
    return this.mapHeight / (this.window.bottom - this.window.top);
  }

  /** The columns and lines that are seen, in whole numbers: from the first, to after the last. */
  get seen(): { first: number; end: number; above: number; below: number } {
    const { left, right, top, bottom } = this.window;
    return { first: Math.floor(left), end: Math.min(this.columns, Math.ceil(right)), above: Math.floor(top), below: Math.min(this.lines, Math.ceil(bottom)) };
  }

  x(place: number): number {
    return this.gutter + (place - this.window.left) * this.wide;
  }

  y(line: number): number {
    return this.top + (line - this.window.top) * this.tall;
  }

  column(x: number): number {
    return this.window.left + (x - this.gutter) / this.wide;
  }

  line(y: number): number {
    return this.window.top + (y - this.top) / this.tall;
  }

  /** The cell at a place, null beside the map; the nearest one where the pointer has left the map while it drags. */
  cell(x: number, y: number, nearest = false): Cell | null {
    const out = x < this.gutter || x >= this.gutter + this.mapWidth || y < this.top || y >= this.bottom;
    if (out && !nearest) return null;
    const clamp = (value: number, size: number) => Math.min(size - 1, Math.max(0, Math.floor(value)));
    return { column: clamp(this.column(x), this.columns), line: clamp(this.line(y), this.lines) };
  }

  /** What is drawn from here on stays on the map, `room` pixels around it included. */
  clip(context: CanvasRenderingContext2D, room = 0): void {
    context.beginPath();
    context.rect(this.gutter - room, this.top - room, this.mapWidth + 2 * room, this.mapHeight + 2 * room);
    context.clip();
  }
}
