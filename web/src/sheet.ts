/** A canvas in the sizes of the page, sharp on every screen. */

import { theme, type Theme } from "./theme";

export const FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

export function ratio(): number {
  return Math.min(3, Math.max(1, globalThis.devicePixelRatio || 1));
}

/** Sized and emptied; draws in CSS pixels. Null where there is no canvas, as in a test. */
export function sheet(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const scale = ratio();
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  if (!context) return null;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `12px ${FONT}`;
  context.textBaseline = "middle";
  return context;
}

export function line(context: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number, colour: string, width = 1): void {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

export function text(
  context: CanvasRenderingContext2D,
  said: string,
  x: number,
  y: number,
  colour: string,
  align: CanvasTextAlign = "left",
): void {
  context.fillStyle = colour;
  context.textAlign = align;
  context.fillText(said, x, y);
}

/** As much of a text as fits, with an ellipsis. */
export function fitting(context: CanvasRenderingContext2D, said: string, width: number): string {
  if (context.measureText(said).width <= width) return said;
  let [low, high] = [0, said.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${said.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 0 ? `${said.slice(0, low)}…` : "";
}

export type { Theme };
export { theme };
