import { describe, expect, test } from "vitest";
import { Frame } from "../src/frame";
import { columnRuns } from "../src/marks";
import { whole } from "../src/window";

const sizes = { width: 701, gutter: 100, columns: 300, lines: 100, pictures: true, strip: true };
const frame = new Frame({ ...sizes, window: whole(300, 100) });

describe("the picture of the map", () => {
  test("finds the cell at the place where it draws it", () => {
    for (const [column, line] of [[0, 0], [299, 99], [120, 7]] as const)
      expect(frame.cell(frame.x(column + 0.5), frame.y(line + 0.5))).toEqual({ column, line });
  });

  test("has no cell beside the map, and the nearest one for a pointer that has left it", () => {
    expect(frame.cell(50, 200)).toBeNull();
    expect(frame.cell(5000, -5, true)).toEqual({ column: 299, line: 0 });
  });

  test("shows pictures of the inputs only where their columns are wide enough", () => {
    expect(frame.faced).toBe(false);
    const near = new Frame({ ...sizes, window: { left: 0, right: 20, top: 0, bottom: 100 } });
    expect(near.faced).toBe(true);
    expect(near.top).toBeGreaterThan(frame.top);
    expect(new Frame({ ...sizes, pictures: false, window: { left: 0, right: 20, top: 0, bottom: 100 } }).faced).toBe(false);
  });

  test("is never taller than a screen, and tall enough for a few rows", () => {
    const lines = (many: number) => new Frame({ ...sizes, lines: many, window: whole(300, many) }).mapHeight;
    expect(lines(5000)).toBe(560);
    expect(lines(1)).toBeGreaterThanOrEqual(60);
    expect(lines(20)).toBe(400);
  });

  test("sees whole cells of a window that begins within one", () => {
    expect(new Frame({ ...sizes, window: { left: 3.4, right: 9.2, top: 0.5, bottom: 6.5 } }).seen).toEqual({ first: 3, end: 10, above: 0, below: 7 });
  });
});

test("inputs that stand together are one run of columns", () => {
  const places = Int32Array.from([4, 3, 9, -1, 5]);
  expect(columnRuns([0, 1, 2, 3, 4], places)).toEqual([[3, 6], [9, 10]]);
});
