/** A cell of the map in words. */

import { className } from "./columns";
import { exact } from "./map";
import type { Atlas, Inputs } from "./page";
import type { Shown } from "./shown";
import { number, rowName } from "./words";

/** A value of a statistic: a class by its name, a number with its unit. */
export function valueWords(of: Shown, value: number | null, inputs: Inputs): string {
  if (value === null) return of.against && of.grid.kind === "category" ? "unchanged or not measured" : "not measured";
  if (of.grid.kind === "category") return className(inputs, value);
  const said = number(value);
  return of.grid.unit && of.grid.unit !== "1" ? `${said} ${of.grid.unit}` : said;
}

/** `Conv2d conv1, input 12, class 3, belief 5`. */
export function spoken(atlas: Atlas, of: Shown, row: number, input: number): string {
  const place = atlas.rows[row];
  const parts = [place ? rowName(place) : "", `input ${input}`];
  const label = atlas.inputs.labels?.[input];
  if (label !== undefined && label !== null) parts.push(labelWords(atlas.inputs, label));
  parts.push(`${of.grid.label} ${valueWords(of, exact(of, row, input), atlas.inputs)}`);
  return parts.join(", ");
}

/** `class 3`, or the target where the labels are numbers of a regression. */
export function labelWords(inputs: Inputs, label: number): string {
  return isClass(inputs) ? `class ${className(inputs, label)}` : `target ${number(label)}`;
}

export function isClass(inputs: Inputs): boolean {
  if (inputs.classes !== null) return true;
  const known = new Set(inputs.labels?.filter((label): label is number => label !== null));
  return known.size > 0 && known.size <= 100 && [...known].every((label) => Number.isInteger(label) && label >= 0);
}

/** Label and prediction beside each other. */
export function verdictWords(inputs: Inputs, input: number): string {
  const label = inputs.labels?.[input] ?? null;
  const predicted = inputs.predictions?.[input] ?? null;
  const parts: string[] = [];
  if (label !== null) parts.push(labelWords(inputs, label));
  if (predicted !== null) {
    const said = isClass(inputs) ? className(inputs, predicted) : number(predicted);
    parts.push(label === null || !isClass(inputs) ? `predicted ${said}` : predicted === label ? `predicted right` : `predicted ${said}, wrong`);
  }
  return parts.join(", ");
}

/** From which row on the belief is right. */
export function depthWords(atlas: Atlas, input: number): string {
  const depth = atlas.depths?.[input];
  if (depth === undefined) return "";
  const row = atlas.rows[depth];
  return depth < 0 || !row ? "never right" : `right from ${rowName(row)} on`;
}
