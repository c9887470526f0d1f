/** What stands on and around the map and changes with it: classes, pictures, values, the stripes of what is missing. */

import { valueWords } from "./cellwords";
import { category, css, onto } from "./colour";
import { className, type Group } from "./columns";
import { CLASSES, FACE, type Frame, STRIP } from "./frame";
import type { Line } from "./lines";
import { colourOf, exact } from "./map";
import type { Atlas } from "./page";
import { fitting, FONT, line, ratio, text, type Theme } from "./sheet";
import type { Shown } from "./shown";

/** Thin stripes behind the map: where they show, nothing was measured. */
export function hatching(context: CanvasRenderingContext2D, at: Frame, colour: string, t: Theme): void {
  context.save();
  at.clip(context);
  context.fillStyle = t.sheet;
  context.fill();
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = -at.mapHeight; x < at.mapWidth; x += 7) {
    context.moveTo(at.gutter + x, at.bottom);
    context.lineTo(at.gutter + x + at.mapHeight, at.top);
  }
  context.stroke();
  context.restore();
}

/** The values themselves, where cells have room for them; the names of classes all or none. */
export function values(context: CanvasRenderingContext2D, at: Frame, of: Shown, atlas: Atlas, lines: readonly Line[], t: Theme): void {
  const classes = of.grid.kind === "category";
  if (at.wide < (classes ? 14 : 34) || at.tall < 13) return;
  context.font = `11px ${FONT}`;
  const names = atlas.inputs.classes ?? ["99"];
  if (classes && names.some((name) => context.measureText(name).width > at.wide - 4)) return;
  const plain = { ...of, grid: { ...of.grid, unit: "" } };
  const { first, end, above, below } = at.seen;
  for (let index = above; index < below; index++) {
    const [row, more] = lines[index]?.rows ?? [];
    if (row === undefined || more !== undefined) continue;
    for (let place = first; place < end; place++) {
      const input = atlas.inputs.order[place] as number;
      const value = exact(of, row, input);
      if (value === null) continue;
      const said = classes ? className(atlas.inputs, value) : valueWords(plain, value, atlas.inputs);
      if (context.measureText(said).width > at.wide - 4) continue;
      const code = of.codes[row * of.columns + input] as number;
      text(context, said, at.x(place + 0.5), at.y(index + 0.5) + 0.5, onto(colourOf(of, code, t.dark)), "center");
    }
  }
}

/** Classes above their columns. */
export function header(context: CanvasRenderingContext2D, at: Frame, groups: readonly Group[], t: Theme): void {
  const right = at.gutter + at.mapWidth;
  context.save();
  context.beginPath();
  context.rect(at.gutter, 0, at.mapWidth, at.height);
  context.clip();
  context.font = `11px ${FONT}`;
  for (const group of groups) {
    const from = Math.max(at.gutter, at.x(group.first));
    const to = Math.min(right, at.x(group.end));
    if (to <= from) continue;
    context.fillStyle = css(category(group.label, t.dark));
    context.fillRect(from, CLASSES - 6, to - from - (to - from > 4 ? 1 : 0), 4);
    const name = fitting(context, group.name, to - from - 3);
    if (name.length > 1 || name === group.name) text(context, name, (from + to) / 2, 7, t.soft, "center");
    if (group.first > at.window.left && to - from > 6) {
      context.globalAlpha = 0.6;
      line(context, at.x(group.first), at.top, at.x(group.first), at.bottom, t.paper, 1);
      context.globalAlpha = 1;
    }
  }
  if (!groups.length) text(context, `${at.columns} inputs`, at.gutter + 2, 8, t.faint);
  context.restore();
}

/** Pictures of the inputs above their columns. */
export function faces(context: CanvasRenderingContext2D, at: Frame, order: readonly number[], face: (input: number) => HTMLCanvasElement | null): void {
  const size = Math.min(FACE - 2, at.wide - 1);
  context.save();
  context.beginPath();
  context.rect(at.gutter, 0, at.mapWidth, at.top);
  context.clip();
  for (let place = at.seen.first; place < at.seen.end; place++) {
    const picture = face(order[place] as number);
    if (!picture) continue;
    const scale = size / Math.max(picture.width, picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    context.imageSmoothingEnabled = picture.width > size * ratio();
    context.drawImage(picture, at.x(place + 0.5) - w / 2, CLASSES + (FACE - 2 - h) / 2 - 1, w, h);
  }
  context.restore();
}

/** What the ticks beneath the map are. */
export function stripName(context: CanvasRenderingContext2D, at: Frame, t: Theme): void {
  context.font = `11px ${FONT}`;
  text(context, fitting(context, "never right", at.gutter - 10), at.gutter - 8, at.bottom + STRIP / 2 + 1, t.faint, "right");
}
