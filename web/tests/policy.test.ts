import { expect, test } from "vitest";

const sources = import.meta.glob("../src/**/*.ts", { query: "?raw", import: "default", eager: true });

test.each([
  ["fetches", /\bfetch\(|XMLHttpRequest|sendBeacon|EventSource/],
  ["starts a worker or makes an address of data", /\bnew (Shared)?Worker|createObjectURL/],
  ["runs text as code", /\beval\(|new Function|\bimport\(/],
  ["makes markup of text", /\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write/],
])("no view %s, which the policy of the page forbids", (_, forbidden) => {
  expect(Object.keys(sources).length).toBeGreaterThan(30);
  expect(Object.entries(sources).filter(([, text]) => forbidden.test(text)).map(([path]) => path)).toEqual([]);
});
