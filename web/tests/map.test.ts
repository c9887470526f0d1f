import { describe, expect, test } from "vitest";
import { aggregated, binned, stretches } from "../src/bins";
import { between, groups, places } from "../src/columns";
import { stepped } from "../src/cursor";
import { field } from "../src/grids";
import { histogram } from "../src/histogram";
import { inside, nearest, towards } from "../src/lasso";
import { ancestors, lineOf, lines, outermost, spans, toggled } from "../src/lines";
import type { Row } from "../src/page";
import { fitted, moved, showing, whole, zoomed } from "../src/window";
import { grid, page } from "./fixture";

const row = (name: string, parent: string): Row => ({ layer: 0, name, kind: "Conv2d", parent, call: 1 });
const ROWS = [row("stem", ""), row("a1", "a.0"), row("a2", "a.0"), row("a3", "a.1"), row("b1", "b"), row("a4", "a.0"), row("head", "")];

describe("folding", () => {
  test("leaves every row its line where no module is folded", () => {
    expect(lines(ROWS, []).map((line) => line.rows)).toEqual([[0], [1], [2], [3], [4], [5], [6]]);
  });

  test("makes one line of the neighbouring rows of a module and of all that stands in it", () => {
    expect(lines(ROWS, ["a"]).map((line) => line.rows)).toEqual([[0], [1, 2, 3], [4], [5], [6]]);
  });

  test("of an outer module hides that of an inner one", () => {
    expect(lines(ROWS, ["a.0", "a"])[1]).toEqual({ rows: [1, 2, 3], module: "a" });
  });

  test("shows the brackets of what is open, the outer ones first", () => {
    expect(spans(ROWS, lines(ROWS, [])).map(({ module, level, first, last }) => [module, level, first, last])).toEqual([
      ["a", 0, 1, 3], ["a.0", 1, 1, 2], ["a.1", 1, 3, 3], ["b", 0, 4, 4], ["a", 0, 5, 5], ["a.0", 1, 5, 5],
    ]);
    expect(spans(ROWS, lines(ROWS, ["a.0"])).map((span) => span.module)).toEqual(["a", "a.1", "b", "a"]);
  });

  test("is undone by the same press", () => {
    expect(toggled(toggled(["x"], "a"), "a")).toEqual(["x"]);
  });

  test("finds the line of a row, and the modules worth folding", () => {
    expect(lineOf(lines(ROWS, ["a"]), 3)).toBe(1);
    expect(outermost(ROWS)).toEqual(["a"]);
    expect(ancestors("a.0.b")).toEqual(["a", "a.0", "a.0.b"]);
  });
});

describe("aggregation", () => {
  const numbers = () => field(grid("g", 2, 6, (r, c) => (r === 0 && c === 0 ? null : r * 10 + c), { bits: 16 }));

  test("keeps the smallest and the largest of what shares a pixel", async () => {
    const of = await numbers();
    const bins = binned(of, [[0], [1]], [[0, 1, 2], [3, 4, 5]]);
    const codes = (r: number, c: number) => of.codes[r * 6 + c];
    expect([...bins.low]).toEqual([codes(0, 1), codes(0, 3), codes(1, 0), codes(1, 3)]);
    expect([...bins.high]).toEqual([codes(0, 2), codes(0, 5), codes(1, 2), codes(1, 5)]);
  });

  test("of folded rows goes over all of them", async () => {
    const of = await numbers();
    const bins = binned(of, [[0, 1]], [[3]]);
    expect([bins.low[0], bins.high[0]]).toEqual([of.codes[3], of.codes[9]]);
  });

  test("of nothing measured is not measured", async () => {
    const of = await numbers();
    expect([...binned(of, [[0]], [[0]]).high]).toEqual([of.missing]);
  });

  test("of classes is the most frequent one, at the last of the rows", async () => {
    const of = await field(grid("g", 2, 4, (r, c) => (r ? [7, 7, 2, 2][c]! : 0), { kind: "category" }));
    expect([...binned(of, [[0, 1]], [[0, 1, 2], [2, 3]]).low]).toEqual([7, 2]);
  });

  test("is said on the screen, and only where it is done", async () => {
    const of = await numbers();
    expect(aggregated(binned(of, [[0], [1]], [[0, 1, 2], [3, 4, 5]]), false)).toContain("up to 3 inputs share a cell; the upper half shows the largest");
    expect(aggregated(binned(of, [[0]], [[0], [1]]), false)).toBe("");
  });

  test("shares columns among pixels evenly and leaves none out", () => {
    const parts = stretches(10, 1010, 333);
    expect(parts.length).toBe(333);
    expect(parts[0]?.[0]).toBe(10);
    expect(parts[332]?.[1]).toBe(1010);
    parts.slice(1).forEach(([from], n) => expect(from).toBe(parts[n]?.[1]));
    expect(stretches(0, 5, 100).length).toBe(5);
  });
});

describe("columns", () => {
  const inputs = page({ rows: 10, inputs: 60 }).atlas!.inputs;

  test("of a class stand together under its name", () => {
    const found = groups(inputs);
    expect(found.length).toBe(10);
    expect(found[3]?.name).toBe("cat");
    expect(found.reduce((size, group) => size + group.end - group.first, 0)).toBe(60);
  });

  test("have no classes where the inputs have no labels", () => {
    expect(groups({ ...inputs, labels: null })).toEqual([]);
  });

  test("are found by their input", () => {
    const found = places(inputs);
    inputs.order.forEach((input, place) => expect(found[input]).toBe(place));
  });

  test("from one to another are chosen in both directions, the other one last", () => {
    expect(between([5, 6, 7, 8], 3, 1)).toEqual([8, 7, 6]);
    expect(between([5, 6, 7, 8], 1, 1)).toEqual([6]);
  });
});

describe("the keys", () => {
  const at = { line: 5, column: 5 };

  test.each([
    ["ArrowUp", { line: 4, column: 5 }], ["ArrowDown", { line: 6, column: 5 }], ["ArrowLeft", { line: 5, column: 4 }],
    ["ArrowRight", { line: 5, column: 6 }], ["Home", { line: 5, column: 0 }], ["End", { line: 5, column: 9 }],
    ["PageUp", { line: 0, column: 5 }], ["PageDown", { line: 7, column: 5 }],
  ])("%s takes the cell to its place", (key, to) => {
    expect(stepped(at, key, 10, 8)).toEqual(to);
  });

  test("never leave the map", () => {
    expect(stepped({ line: 0, column: 9 }, "ArrowRight", 10, 8)).toEqual({ line: 0, column: 9 });
    expect(stepped({ line: 0, column: 9 }, "ArrowUp", 10, 8)).toEqual({ line: 0, column: 9 });
  });

  test("begin at the first cell, and other keys are left alone", () => {
    expect(stepped(null, "ArrowDown", 10, 8)).toEqual({ line: 0, column: 0 });
    expect(stepped(at, "a", 10, 8)).toBeNull();
    expect(stepped(null, "ArrowDown", 0, 0)).toBeNull();
  });
});

describe("zooming", () => {
  test("keeps the place under the pointer where it is", () => {
    const now = zoomed(whole(500, 200), 2, 125, 50, 500, 200)!;
    expect([now.left, now.right, now.top, now.bottom]).toEqual([62.5, 312.5, 25, 125]);
  });

  test("out as far as it goes is the whole map", () => {
    expect(zoomed(zoomed(whole(500, 200), 4, 10, 10, 500, 200)!, 0.01, 10, 10, 500, 200)).toBeNull();
  });

  test("in stops while there are a few cells", () => {
    const now = zoomed(whole(500, 200), 1e9, 250, 100, 500, 200)!;
    expect([now.right - now.left, now.bottom - now.top]).toEqual([8, 6]);
  });

  test("never leaves the map", () => {
    expect(moved({ left: 10, right: 20, top: 0, bottom: 5 }, -100, 100, 50, 10)).toEqual({ left: 0, right: 10, top: 5, bottom: 10 });
    expect(fitted({ left: 0, right: 900, top: 0, bottom: 900 }, 50, 10)).toBeNull();
  });

  test("moves as little as it takes to show a cell", () => {
    const now = { left: 10, right: 20, top: 0, bottom: 5 };
    expect(showing(now, 20, 2, 50, 10)).toEqual({ left: 11, right: 21, top: 0, bottom: 5 });
    expect(showing(now, 15, 2, 50, 10)).toEqual(now);
  });
});

describe("a histogram", () => {
  test("holds every measured input in one bar, and tells of the others", () => {
    const found = histogram([1, 2, 2, null, 3, Number.NaN], false, 4)!;
    expect(found.bins.map((bin) => bin.inputs)).toEqual([[0], [], [1, 2], [4]]);
    expect(found.missing).toEqual([3, 5]);
    expect(found.tallest).toBe(2);
  });

  test("chooses the inputs between the ends of a bar", () => {
    const values = Array.from({ length: 100 }, (_, n) => n / 10);
    for (const bin of histogram(values, false)!.bins)
      for (const input of bin.inputs) {
        expect(values[input]).toBeGreaterThanOrEqual(bin.from - 1e-9);
        expect(values[input]).toBeLessThanOrEqual(bin.to + 1e-9);
      }
  });

  test("has bars of equal ratio where the scale is logarithmic, what is 0 in the first", () => {
    const found = histogram([0, 0.01, 1, 100], true, 4)!;
    expect(found.bins.map((bin) => bin.inputs)).toEqual([[0, 1], [], [2], [3]]);
  });

  test("of equal values has one bar, of none there is none", () => {
    expect(histogram([2, 2, 2], false)?.tallest).toBe(3);
    expect(histogram([null, null], false)).toBeNull();
  });
});

describe("the data map", () => {
  const square = [[0, 0], [10, 0], [10, 10], [0, 10]] as const;
  test("chooses what lies inside of a line", () => {
    expect(inside([5, 5], square)).toBe(true);
    expect(inside([15, 5], square)).toBe(false);
    expect(inside([5, 5], square.slice(0, 1))).toBe(false);
  });

  test("finds the nearest point within reach, and the next one in a direction", () => {
    expect(nearest([1, 1], square, 5)).toBe(0);
    expect(nearest([5, 50], square, 5)).toBe(-1);
    expect(towards(0, 1, 0, square)).toBe(1);
    expect(towards(1, 1, 0, square)).toBe(-1);
    expect(towards(-1, 1, 0, square)).toBe(0);
  });
});
