import { describe, expect, test } from "vitest";
import { beliefRuns } from "../src/beliefs";
import { randomisedWords } from "../src/details";
import { effects } from "../src/editor";
import { field } from "../src/grids";
import { partOf, Stream, widened } from "../src/stream";
import { breaksAt, mean, span } from "../src/views/curves";
import { reach } from "../src/views/trials";
import { number, shapes, share, signed } from "../src/words";
import { grid, trials } from "./fixture";

describe("curves", () => {
  test("have a mean while every seed has a value", () => {
    expect(mean([[1, 2, 3], [3, null, 5]])).toEqual([2, null, 4]);
    expect(mean([[1, 2], [3]])).toEqual([2, null]);
  });

  test("say where they stop being finite", () => {
    expect(breaksAt([1, 2, null])).toBe(3);
    expect(breaksAt([Number.NaN])).toBe(1);
    expect(breaksAt([1, 2])).toBeNull();
  });

  test("go by decades where the largest is a hundred times the least", () => {
    expect(span([0.01, 3], true, null)).toEqual({ low: 0.01, high: 3, decades: true });
    expect(span([0.1, 3], true, null).decades).toBe(false);
    expect(span([0.01, 3], false, null).decades).toBe(false);
  });

  test("make room for the trivial level", () => {
    expect(span([0.5, 0.9], false, 0.1).low).toBeLessThan(0.1);
  });
});

describe("trials", () => {
  const shown = trials().filter((trial) => trial.effect !== null);

  test("cut the axis where one effect is many times the others", () => {
    const [low, , cut] = reach(shown, 0.01);
    expect(cut).toBe(true);
    expect(low).toBeGreaterThan(-0.74);
  });

  test("leave the axis whole where effects are alike", () => {
    expect(reach(shown.slice(0, 2), 0.01)[2]).toBe(false);
  });
});

describe("a training", () => {
  const column = (step: number) => ({ type: "column" as const, step, epoch: 1, loss: 1, values: {} });

  test("keeps the last columns alone", () => {
    const stream = new Stream(3);
    stream.add([1, 2, 3, 4, 5].map(column));
    expect(stream.last(10).map((one) => one.step)).toEqual([3, 4, 5]);
    expect(stream.last(0)).toEqual([]);
  });

  test("widens its range only for what lies outside", () => {
    const range = widened(null, [1, 2, null], false)!;
    expect(widened(range, [1.5], false)).toBe(range);
    expect(widened(range, [9], false)!.high).toBeGreaterThanOrEqual(9);
    expect(widened(null, [null], false)).toBeNull();
    expect(widened(null, [0, 1, 10], true)!.low).toBeGreaterThan(0);
  });

  test("shows what is not measured as nothing, and 0 at the low end of decades", () => {
    expect(partOf(null, { low: 0.1, high: 10 }, true)).toBeNull();
    expect(partOf(0, { low: 0.1, high: 10 }, true)).toBe(0);
    expect(partOf(1, { low: 0.1, high: 10 }, true)).toBeCloseTo(0.5);
  });

  test("names the rows that an edit changes", () => {
    expect(effects([1, 2, null], [1, 3, 4])).toEqual([{ row: 1, before: 2, after: 3 }]);
  });
});

describe("one input", () => {
  test("has its beliefs told as runs of rows", async () => {
    const of = await field(grid("belief", 5, 1, (row) => [3, 3, null, 7, 7][row] ?? null, { kind: "category" }));
    expect(beliefRuns({ ...of, moment: { label: "", grids: [] }, against: null, reach: 1 }, 0)).toEqual([
      { first: 0, last: 1, value: 3 }, { first: 2, last: 2, value: null }, { first: 3, last: 4, value: 7 },
    ]);
  });

  test.each([[null, "not checked"], [0.1, "depends on what was learned"], [0.5, "part of it is the picture"], [0.9, "says little of what was learned"]])(
    "with an attribution %s alike to that of random weights says so",
    (alike, said) => {
      expect(randomisedWords(alike)).toContain(said);
    },
  );
});

describe("numbers", () => {
  test.each([[0.00423, "0.00423"], [12.53, "12.5"], [1797, "1,797"], [3.2e-7, "3.20e-7"], [null, "not measured"], [NaN, "not finite"], [-2, "−2"], [0.1 + 0.2, "0.3"]])(
    "%s is said as %s",
    (value, said) => {
      expect(number(value)).toBe(said);
    },
  );

  test("of a share and a change have their sign and their edge", () => {
    expect([share(0.001), share(0.61), share(0.999), share(1), share(null)]).toEqual(["<1 %", "61 %", ">99 %", "100 %", ""]);
    expect([signed(0.853), signed(-1234.5, 1)]).toEqual(["+0.85", "−1,234.5"]);
    expect(shapes([1, 8, 8], [16, 6, 6])).toBe("1×8×8 → 16×6×6");
  });
});
