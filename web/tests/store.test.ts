import { afterEach, describe, expect, test, vi } from "vitest";
import { fromRuns, keepInAddress, read, runs, type Selection, Store, within, written } from "../src/store";

const chosen: Partial<Selection> = {
  rows: [3, 4, 5], inputs: [9, 1, 2, 3], layer: 2, unit: 7, moment: 0, against: 1, statistic: "share of zeros", step: 40,
  zoom: { left: 1.5, right: 20, top: 0, bottom: 12 }, folded: ["layer1.0", "a&b"],
};

describe("the selection", () => {
  test("survives the way through the address", () => {
    const store = new Store();
    store.set(chosen);
    expect(read(`#${written(store.now)}`)).toEqual(store.now);
  });

  test("writes nothing where nothing is chosen", () => {
    expect(written(new Store().now)).toBe("");
  });

  test("says runs of numbers as their ends", () => {
    expect(runs([1, 2, 3, 4, 9, 11, 12])).toBe("1-4,9,11,12");
    expect(fromRuns("1-4,9,11,12")).toEqual([1, 2, 3, 4, 9, 11, 12]);
  });

  test.each(["", "#", "#notes", "#rows=x&inputs=-3", "#zoom=4,1,0,2&statistic=%E0%A4%A", "#moment=1e9&=&&folded=,"])(
    "leaves out what cannot be read in %j",
    (fragment) => {
      expect(read(fragment)).toEqual(new Store().now);
    },
  );

  test("is never larger than memory, whatever the address says", () => {
    expect(fromRuns("0-999999999").length).toBeLessThanOrEqual(100_000);
  });

  test("keeps only what the page has", () => {
    const fit = within(read("#rows=1,50&inputs=3,999&moment=7&layer=2"), 10, 100, 5, 3);
    expect([fit.rows, fit.inputs, fit.moment, fit.layer]).toEqual([[1], [3], null, 2]);
  });
});

describe("listeners", () => {
  test("are told of the parts that changed", () => {
    const store = new Store();
    const told: string[][] = [];
    store.subscribe((changed) => told.push([...changed]));
    store.set({ rows: [1], inputs: [] });
    store.set({ rows: [1] });
    expect(told).toEqual([["rows"]]);
  });

  test("are no longer told when they have left", () => {
    const store = new Store();
    const listener = vi.fn();
    store.subscribe(listener)();
    store.set({ rows: [1] });
    expect(listener).not.toHaveBeenCalled();
  });
});

describe("the address", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    history.replaceState(null, "", "#");
  });

  test("is read when the page opens and written after a change", () => {
    vi.useFakeTimers();
    history.replaceState(null, "", "#rows=2");
    const store = new Store();
    const { stop } = keepInAddress(store, (selection) => selection);
    expect(store.now.rows).toEqual([2]);
    store.set({ inputs: [4] });
    vi.runAllTimers();
    expect(location.hash).toBe("#rows=2&inputs=4");
    stop();
  });

  test("may be forbidden, as in the frame of a notebook", () => {
    vi.useFakeTimers();
    vi.spyOn(history, "replaceState").mockImplementation(() => {
      throw new DOMException("no", "SecurityError");
    });
    const store = new Store();
    const { stop } = keepInAddress(store, (selection) => selection);
    store.set({ inputs: [4] });
    expect(() => vi.runAllTimers()).not.toThrow();
    expect(store.now.inputs).toEqual([4]);
    stop();
  });
});
