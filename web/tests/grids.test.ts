import { describe, expect, test } from "vitest";
import { field, inflated, value } from "../src/grids";
import { difference, rowValues } from "../src/shown";
import { grid, packed } from "./fixture";

const values = [[0.5, 1, null], [2, 4, 8]];
const at = (row: number, column: number) => values[row]?.[column] ?? null;

describe.each([8, 16] as const)("codes of %i bits", (bits) => {
  test("give back the values they were made of, and what is missing", async () => {
    const of = await field(grid("g", 2, 3, at, { bits }));
    const close = bits === 8 ? 1 : 3;
    values.forEach((row, r) => row.forEach((known, c) => {
      const got = value(of, r, c);
      if (known === null) expect(got).toBeNull();
      else expect(got).toBeCloseTo(known, close);
    }));
  });

  test("are even by decades where the scale is logarithmic", async () => {
    const of = await field(grid("g", 2, 3, at, { bits, scale: "log" }));
    expect(value(of, 0, 0)).toBeCloseTo(0.5, 6);
    expect(value(of, 1, 2)).toBeCloseTo(8, 6);
    expect(value(of, 1, 0)! / 2).toBeCloseTo(1, 1);
  });
});

test("classes are their own codes", async () => {
  const of = await field(grid("g", 2, 3, (row, column) => (row ? column * 4 : null), { kind: "category" }));
  expect(rowValues(of, 1)).toEqual([0, 4, 8]);
  expect(rowValues(of, 0)).toEqual([null, null, null]);
});

test("a grid is unpacked once", async () => {
  const one = grid("g", 2, 3, at);
  expect(await field(one)).toBe(await field(one));
});

test("data that are longer or shorter than announced are refused", async () => {
  const data = packed(new Uint8Array(100));
  await expect(inflated(data, 99)).rejects.toThrow(/more than the 99 bytes/);
  await expect(inflated(data, 101)).rejects.toThrow(/100 of the 101 bytes/);
});

test("data that are no deflate are refused", async () => {
  await expect(inflated(btoa("this is not deflate"), 10)).rejects.toThrow();
});

describe("the difference of two moments", () => {
  const make = (shift: number, more = {}) => field(grid("g", 1, 3, (_, column) => (column === 2 ? null : 10 ** column * shift), { bits: 16, ...more }));

  test("is now less then, and missing where either is", async () => {
    const of = difference(await make(3), await make(1), "epoch 1");
    expect(rowValues(of, 0).map((v) => (v === null ? v : Math.round(v)))).toEqual([2, 20, null]);
  });

  test("is in powers of ten where the scale is logarithmic", async () => {
    const of = difference(await make(100, { scale: "log" }), await make(1, { scale: "log" }), "epoch 1");
    expect(value(of, 0, 0)).toBeCloseTo(2, 3);
    expect(of.grid.unit).toBe("powers of ten");
  });

  test("of classes keeps those that are others now", async () => {
    const classes = (last: number) => field(grid("g", 1, 2, (_, column) => (column ? last : 1), { kind: "category" }));
    expect(rowValues(difference(await classes(5), await classes(4), "before"), 0)).toEqual([null, 5]);
  });

  test("of two that are alike is nothing everywhere", async () => {
    const of = difference(await make(1), await make(1), "epoch 1");
    expect(value(of, 0, 0)).toBeCloseTo(0, 6);
  });
});
