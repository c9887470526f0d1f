import { describe, expect, test } from "vitest";
import { axis, countTicks, roundTicks, ticks, tickWords } from "../src/axis";

describe("an axis", () => {
  test("puts its ends at the ends of the picture", () => {
    const x = axis(2, 4, 10, 110);
    expect([x(2), x(3), x(4), x(9)]).toEqual([10, 60, 110, 110]);
  });

  test("goes by decades where it is logarithmic", () => {
    const x = axis(0.01, 100, 0, 4, true);
    expect(x(1)).toBeCloseTo(2);
    expect(x(0)).toBe(0);
  });

  test.each([[false], [true]])("gives back the number at a place (decades: %s)", (decades) => {
    const x = axis(0.5, 200, 30, 300, decades);
    expect(x.at(x(42))).toBeCloseTo(42, 6);
  });

  test("of a single number puts it in the middle", () => {
    expect(axis(3, 3, 0, 10)(3)).toBe(5);
  });
});

describe("ticks", () => {
  test("are round and inside", () => {
    expect(roundTicks(0.13, 0.97)).toEqual([0.2, 0.4, 0.6000000000000001, 0.8]);
    expect(roundTicks(-3, 3)).toEqual([-2, 0, 2]);
  });

  test("of decades are powers of ten, at most a few", () => {
    expect(ticks(1e-12, 1e12, true).length).toBeLessThan(8);
    expect(ticks(0.5, 200, true)).toEqual([1, 10, 100]);
  });

  test("of epochs name both ends", () => {
    expect(countTicks(40)).toEqual([1, 10, 20, 30, 40]);
    expect(countTicks(3)).toEqual([1, 2, 3]);
  });

  test("have as many decimals as tell them apart", () => {
    const all = roundTicks(0.13, 0.97);
    expect(all.map((tick) => tickWords(tick, all))).toEqual(["0.2", "0.4", "0.6", "0.8"]);
    expect(tickWords(1e-7, [1e-7], true)).toBe("1e-7");
    expect(tickWords(12000, [12000, 14000])).toBe("12,000");
  });

  test("names whole decades, a few of many", () => {
    expect(ticks(5e-5, 1.2, true, 2).map((tick) => tickWords(tick, [], true))).toEqual(["1e-4", "0.01", "1"]);
    expect(ticks(0.9, 1200, true, 5)).toEqual([1, 10, 100, 1000]);
  });
});
