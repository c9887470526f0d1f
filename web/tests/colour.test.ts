import { describe, expect, test } from "vitest";
import { category, diverging, onto, pattern, type Rgb, seenWithout, sequential, toLab } from "../src/colour";

const PARTS = Array.from({ length: 33 }, (_, n) => n / 32);

function steps(values: number[]): number[] {
  return values.slice(1).map((value, n) => value - (values[n] as number));
}

function distance(one: Rgb, other: Rgb): number {
  const [a, b] = [toLab(one), toLab(other)];
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

const EYES: [string, (rgb: Rgb) => Rgb][] = [
  ["usual colour vision", (rgb) => rgb],
  ["protanopia", (rgb) => seenWithout("red", rgb)],
  ["deuteranopia", (rgb) => seenWithout("green", rgb)],
];

describe.each([["light", false], ["dark", true]] as const)("on a %s page", (_, dark) => {
  describe.each(EYES)("with %s", (eyes, seen) => {
    test("the scale of one way changes its lightness in even steps", () => {
      const lightness = PARTS.map((part) => toLab(seen(sequential(dark)(part)))[0]);
      const mean = (lightness[32]! - lightness[0]!) / 32;
      const tolerance = eyes === "usual colour vision" ? 0.2 : 0.45;
      for (const step of steps(lightness)) {
        expect(Math.sign(step)).toBe(Math.sign(mean));
        expect(Math.abs(step / mean - 1)).toBeLessThan(tolerance);
      }
    });

    test("both arms of the scale of two ways change their lightness in even steps from the middle", () => {
      for (const side of [-0.5, 0.5]) {
        const lightness = PARTS.map((part) => toLab(seen(diverging(dark)(0.5 + side * part)))[0]);
        const mean = (lightness[32]! - lightness[0]!) / 32;
        const tolerance = eyes === "usual colour vision" ? 0.25 : 0.6;
        for (const step of steps(lightness)) {
          expect(Math.sign(step)).toBe(Math.sign(mean));
          expect(Math.abs(step / mean - 1)).toBeLessThan(tolerance);
        }
      }
    });

    test("the ends of the scale of two ways are told apart", () => {
      expect(distance(seen(diverging(dark)(0)), seen(diverging(dark)(1)))).toBeGreaterThan(0.15);
    });

    test("the first eight classes are told apart", () => {
      for (let one = 0; one < 8; one++)
        for (let other = 0; other < one; other++)
          expect(distance(seen(category(one, dark)), seen(category(other, dark)))).toBeGreaterThan(0.055);
    });
  });

  test("equal steps of the scale of one way look equally large", () => {
    const colours = PARTS.map(sequential(dark));
    const sizes = colours.slice(1).map((colour, n) => distance(colour, colours[n] as Rgb));
    const mean = sizes.reduce((a, b) => a + b) / sizes.length;
    for (const size of sizes) expect(Math.abs(size / mean - 1)).toBeLessThan(0.4);
  });

  test("forty classes have forty pairs of colour and pattern", () => {
    const pairs = new Set(Array.from({ length: 40 }, (_, n) => `${category(n, dark).join()} ${pattern(n)}`));
    expect(pairs.size).toBe(40);
  });
});

test("much stands out from the paper in both themes", () => {
  expect(toLab(sequential(false)(0))[0]).toBeGreaterThan(0.9);
  expect(toLab(sequential(true)(0))[0]).toBeLessThan(0.3);
});

test("text on a colour is the one of black and white that can be read", () => {
  expect(onto([240, 228, 66])).toBe("#000000");
  expect(onto([0, 114, 178])).toBe("#ffffff");
});
