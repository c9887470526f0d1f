/** The columns of the map: inputs in the order of the page, by class. */

import type { Inputs } from "./page";

export interface Group {
  label: number;
  name: string;
  first: number;
  /** After its last column. */
  end: number;
}

/** Neighbouring columns of one class; none where the inputs have no labels or hardly any column has its like beside it. */
export function groups(inputs: Inputs): Group[] {
  const labels = inputs.labels;
  if (!labels) return [];
  const found: Group[] = [];
  inputs.order.forEach((input, place) => {
    const label = labels[input] ?? null;
    const before = found[found.length - 1];
    if (label === null || !Number.isInteger(label)) return;
    if (before?.label === label && before.end === place) before.end = place + 1;
    else found.push({ label, name: className(inputs, label), first: place, end: place + 1 });
  });
  return found.length * 2 <= inputs.order.length || found.length <= 12 ? found : [];
}

export function className(inputs: Inputs, label: number | null | undefined): string {
  if (label === null || label === undefined) return "no label";
  return inputs.classes?.[label] ?? String(label);
}

/** Where each input stands: the inverse of the order. */
export function places(inputs: Inputs): Int32Array {
  const found = new Int32Array(inputs.count).fill(-1);
  inputs.order.forEach((input, place) => {
    found[input] = place;
  });
  return found;
}

/** The inputs from one column to another, the other one last. */
export function between(order: readonly number[], from: number, to: number): number[] {
  const step = to >= from ? 1 : -1;
  const found: number[] = [];
  for (let place = from; place !== to + step; place += step) {
    const input = order[place];
    if (input !== undefined) found.push(input);
  }
  return found;
}
