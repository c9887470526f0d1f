/** A page as `netwright.views.page` writes it, made up: for tests and for looking at the views. Not shipped. */

import { deflateRawSync } from "node:zlib";
import type { Atlas, Curve, Detail, Grid, Layer, Maybe, Page, Row, Trial } from "../src/page";

export function packed(bytes: Uint8Array): string {
  return deflateRawSync(bytes).toString("base64");
}

/** Numbers that are the same at every call. */
export function chance(seed = 1): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function grid(
  name: string,
  rows: number,
  columns: number,
  at: (row: number, column: number) => Maybe,
  more: Partial<Grid> = {},
): Grid {
  const kind = more.kind ?? "sequential";
  const scale = more.scale ?? "linear";
  const bits = more.bits ?? 8;
  const missing = bits === 8 ? 255 : 65535;
  const values = Array.from({ length: rows * columns }, (_, n) => at(Math.floor(n / columns), n % columns));
  const known = values.filter((v): v is number => v !== null);
  let low = kind === "category" ? 0 : Math.min(...[known.reduce((a, b) => Math.min(a, b), Infinity)]);
  let high = kind === "category" ? 0 : known.reduce((a, b) => Math.max(a, b), -Infinity);
  if (kind === "diverging") [low, high] = [-Math.max(-low, high), Math.max(-low, high)];
  const codes = values.map((value) => {
    if (value === null) return missing;
    if (kind === "category") return value;
    const part = scale === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return Math.round((Number.isFinite(part) ? part : 0) * (missing - 1));
  });
  const bytes = bits === 8 ? Uint8Array.from(codes) : new Uint8Array(Uint16Array.from(codes).buffer);
  return { name, label: name, meaning: "", unit: "", rows, columns, low, high, ...more, kind, scale, bits, data: packed(bytes) };
}

const KINDS = ["Conv2d", "BatchNorm2d", "relu", "Conv2d", "BatchNorm2d", "add", "relu"];
const CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

export function layers(many: number): Layer[] {
  const random = chance(3);
  return Array.from({ length: many }, (_, n) => {
    const block = Math.floor((n - 1) / 7);
    const stage = Math.min(4, 1 + Math.floor(block / 7));
    const kind = n === 0 ? "Conv2d" : n === many - 1 ? "Linear" : (KINDS[(n - 1) % 7] as string);
    const parent = n === 0 || n === many - 1 ? "" : `layer${stage}.${block % 7}`;
    const inner = kind.toLowerCase().replace("2d", "") + (((n - 1) % 7 > 2 ? 2 : 1) as number);
    const name = n === 0 ? "stem" : n === many - 1 ? "head" : `${parent}.${inner}`;
    const size = Math.max(4, 32 >> (stage - 1));
    const channels = 16 << (stage - 1);
    const learns = kind === "Conv2d" || kind === "Linear" || kind === "BatchNorm2d";
    const zeros = kind === "relu" ? 0.2 + 0.6 * random() : random() * 0.01;
    return {
      name: kind === "relu" || kind === "add" ? `${parent}.${kind}${(n - 1) % 7}` : name,
      kind,
      depth: parent ? 2 : 0,
      parent,
      input_shape: [channels, size, size],
      output_shape: n === many - 1 ? [10] : [channels, size, size],
      parameters: kind === "Conv2d" ? channels * channels * 9 : kind === "Linear" ? channels * 10 + 10 : kind === "BatchNorm2d" ? 2 * channels : 0,
      flops: learns ? channels * channels * 9 * size * size : channels * size * size,
      bytes: channels * size * size * 4,
      seconds: 1e-5 * (1 + random() * 30),
      trainable: learns ? n !== 3 : null,
      file: "/home/user/resnet.py",
      line: 12 + n,
      behaviour: {
        zeros,
        histogram: Array.from({ length: 16 }, (_, b) => Math.round(1000 * Math.exp(-((b - 8 + 3 * random()) ** 2) / (4 + 10 * random())))),
        gradient: learns ? 10 ** (-1 - 4 * (1 - n / many) - random()) : null,
      },
      findings: n === 24 ? ["dead-relu-1"] : n === 60 || n === 61 ? ["gradient-vanishes-1"] : n === 120 ? ["ruled-out"] : [],
    };
  });
}

export function rows(all: readonly Layer[]): Row[] {
  return all.map((layer, n) => ({ layer: n, name: layer.name, kind: layer.kind, parent: layer.parent, call: 1 }));
}

export interface Size {
  rows: number;
  inputs: number;
  moments?: number;
}

export function page({ rows: many, inputs: count, moments = 3 }: Size): Page {
  const random = chance(11);
  const all = layers(many);
  const labels = Array.from({ length: count }, () => Math.floor(random() * 10));
  const hardness = labels.map((label) => 0.15 + 0.6 * random() ** 2 + (label === 3 || label === 5 ? 0.2 : 0) + (random() < 0.04 ? 0.6 : 0));
  const losses = hardness.map((h) => 0.02 + 3 * h * h);
  const confused = labels.map((label) => (label === 3 ? 5 : label === 5 ? 3 : Math.floor(random() * 10)));
  const order = Array.from({ length: count }, (_, n) => n).sort((a, b) => (labels[a]! - labels[b]!) || losses[a]! - losses[b]!);
  const belief = (moment: number) => {
    const dice = chance(5 + moment);
    return (row: number, input: number): Maybe => {
      if (all[row]!.kind === "add" && row < 30) return null;
      const part = row / many;
      const sure = part + 0.25 * (moment - (moments - 1)) + 0.1 * (dice() - 0.5);
      return sure > hardness[input]! ? labels[input]! : sure > hardness[input]! - 0.25 ? confused[input]! : Math.floor(dice() * 10);
    };
  };
  const grids = (moment: number): Grid[] => {
    const dice = chance(50 + moment);
    const wave = (row: number, input: number) => Math.exp(-2 + 2.5 * Math.sin(row / 17 + moment / 2) + 0.8 * hardness[input]! + 0.5 * dice());
    return [
      grid("belief", many, count, belief(moment), {
        kind: "category", label: "belief",
        meaning: "The class that a linear probe reads from the outputs of this row, asked for this input.",
      }),
      grid("norm", many, count, (row, input) => wave(row, input), {
        scale: "log", label: "size of outputs", bits: 16,
        meaning: "Root mean square of the outputs of the row for this input.",
      }),
      grid("zeros", many, count, (row, input) => (all[row]!.kind === "relu" ? Math.min(1, Math.max(0, 0.5 + 0.4 * Math.sin(row / 9) + 0.2 * (dice() - 0.5) + 0.2 * (hardness[input]! - 0.4))) : null), {
        label: "share of zeros", meaning: "The share of outputs that are exactly 0; asked of activations alone.",
      }),
      grid("margin", many, count, (row, input) => (row / many - hardness[input]!) * 4 + dice() - 0.5, {
        kind: "diverging", label: "margin of belief", meaning: "The score of the right class less the best other one; above 0 the belief is right.",
      }),
    ];
  };
  const depths = hardness.map((h) => {
    const row = Math.ceil((h + 0.05) * many);
    return row >= many ? -1 : row;
  });
  const predictions = labels.map((label, n) => (depths[n]! < 0 ? confused[n]! : label));
  const [w, h] = [16, 16];
  const pixels = new Uint8Array(count * w * h * 3);
  for (let n = 0; n < count; n++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        const label = labels[n]!;
        const r = Math.hypot(x - 8 + Math.sin(n), y - 8 + Math.cos(n));
        const on = label % 2 ? r < 3 + label / 2 : Math.abs(Math.sin(x / (1 + label / 4)) * 8 - y + 4) < 3;
        const at = ((n * h + y) * w + x) * 3;
        pixels[at] = on ? 230 - 10 * label : 60 + 6 * y;
        pixels[at + 1] = on ? 80 + 15 * label : 90 + 5 * y;
        pixels[at + 2] = on ? 60 + ((n * 37) % 120) : 140 + 4 * y;
      }
  const shownInputs = order.filter((_, n) => n % Math.max(1, Math.floor(count / 12)) === 0).slice(0, 12);
  const atlas: Atlas = {
    rows: rows(all),
    inputs: {
      count,
      ids: Array.from({ length: count }, (_, n) => `val/${String(1000 + 7 * n).padStart(5, "0")}.png`),
      labels, predictions, losses, classes: CLASSES, order, kind: "image",
      thumbnails: { width: w, height: h, channels: 3, data: packed(pixels) },
      texts: null,
    },
    moments: Array.from({ length: moments }, (_, n) => ({ label: `epoch ${[1, 5, 20, 40, 80][n] ?? 100 * n}`, grids: grids(n) })),
    depths,
    patterns: [
      { name: "confused", title: "cat and dog part late", explanation: "Their beliefs change places until the last stage; 61 % of the errors are here.", rows: range(Math.floor(0.7 * many), many), inputs: order.filter((n) => labels[n] === 3 || labels[n] === 5), classes: [3, 5] },
      { name: "never", title: "23 inputs are never believed", explanation: "No row reads the right class; they may be mislabelled.", rows: [], inputs: order.filter((n) => depths[n]! < 0), classes: [] },
      { name: "early", title: "easy inputs are done after the first third", explanation: "Their belief is right from layer1.6 on and stays; the rest of the network changes nothing for them.", rows: range(0, Math.floor(many / 3)), inputs: order.filter((n) => hardness[n]! < 0.25), classes: [] },
    ],
    maps: [Math.floor(many * 0.1), Math.floor(many * 0.5), many - 1].map((row) => ({
      row,
      x: labels.map((label) => Math.cos(label) * (row / many) * 3 + gauss(random)),
      y: labels.map((label) => Math.sin(label) * (row / many) * 3 + gauss(random)),
      explained: 0.3 + (0.4 * row) / many,
    })),
    units: range(0, many).filter((row) => all[row]!.kind === "Conv2d" || all[row]!.kind === "relu").map((row) => ({
      row, shown: 8, of: 16 << Math.min(3, Math.floor(row / 50)), dead: row === 24 ? [3, 7, 9, 12] : [], duplicates: row % 5 === 0 ? [[1, 4, 0.993] as [number, number, number]] : [],
      effective_rank: 5.2 + row / 30,
      top: Array.from({ length: 8 }, (_, unit) => ({ unit, inputs: Array.from({ length: 6 }, (_, k) => (unit * 31 + k * 17 + row) % count), values: [9.1, 8.4, 8.2, 7.9, 7.5, 7.2] })),
    })),
    details: shownInputs.map((input) => ({ input, items: details(input, many) })),
    notes: [`${count} of 10,000 inputs of the validation part, drawn by class with seed 0.`, "Beliefs are asked of linear probes that were trained on 2,000 other inputs."],
  };
  return {
    version: 1, name: "resnet.py", run: "run 2026-11-24 14:03, validation 0.87", layers: all,
    findings: [
      { id: "dead-relu-1", cause: "dead units", status: "confirmed", confidence: 0.93, explanation: "4 of 16 units never fire." },
      { id: "gradient-vanishes-1", cause: "vanishing gradient", status: "suspected", confidence: 0.55, explanation: "Gradients fall by a factor of 900." },
      { id: "ruled-out", cause: "input scale", status: "refuted", confidence: 0.02, explanation: "" },
    ],
    notes: [], atlas, curves: curves(), metric: { name: "accuracy", higher_is_better: true, trivial: 0.1, perfect: 1 }, trials: trials(), live: null,
  };
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, n) => from + n);
}

function gauss(random: () => number): number {
  return Math.sqrt(-2 * Math.log(random() + 1e-9)) * Math.cos(6.283 * random());
}

function detail(row: number, kind: Detail["kind"], shape: number[], at: (n: number) => number, more: Partial<Detail> = {}): Detail {
  const size = shape.reduce((a, b) => a * b, 1);
  const values = Array.from({ length: size }, (_, n) => at(n));
  const low = Math.min(...values);
  const high = Math.max(...values);
  const data = packed(Uint8Array.from(values.map((v) => Math.round((255 * (v - low)) / (high - low || 1)))));
  return { row, kind, shape, of: shape[0] ?? 0, low, high, data, method: "", randomised: null, names: null, ...more };
}

export function details(input: number, many: number): Detail[] {
  const wave = (w: number, k: number) => (n: number) => Math.max(0, Math.sin((n % w) / (1 + ((k + Math.floor(n / 256)) % 5)) + input) * Math.cos(Math.floor(n / w) / 3));
  return [
    detail(0, "attribution", [16, 16], (n) => Math.sin(n / 9 + input) * Math.exp(-(((n % 16) - 8) ** 2 + (Math.floor(n / 16) - 8) ** 2) / 30), { method: "integrated gradients", randomised: 0.12 }),
    detail(0, "maps", [16, 16, 16], wave(16, 0), { of: 16 }),
    detail(24, "maps", [8, 16, 16], wave(16, 2), { of: 32 }),
    detail(Math.floor(many / 2), "attention", [2, 12, 12], (n) => Math.exp(-(((n % 12) - Math.floor((n % 144) / 12)) ** 2) / 4), { of: 8 }),
    detail(Math.floor(many / 2), "states", [40, 24], (n) => Math.tanh(Math.sin(n / 40) * 2 + Math.cos(n))),
    detail(many - 1, "vector", [10], (n) => Math.cos(n * 2 + input) * 4),
    detail(many - 1, "contributions", [7], (n) => Math.sin(n * 3 + input), { names: ["age", "income", "rooms", "distance", "year", "area", "floor"] }),
  ];
}

export function curves(): Curve[] {
  const random = chance(21);
  const made: Curve[] = [];
  for (const label of ["before", "after"])
    for (let seed = 0; seed < 3; seed++) {
      const speed = label === "before" ? 0.05 : 0.15;
      const loss: Maybe[] = range(0, 40).map((n) => 2.3 * Math.exp(-speed * n) * (1 + 0.1 * random()) + 0.004);
      if (label === "before" && seed === 2) for (let n = 23; n < 40; n++) loss[n] = null;
      made.push({ label, seed, loss, val_loss: loss, val_score: loss.map((v) => (v === null ? null : Math.min(0.98, 0.95 - 0.3 * v + 0.02 * random()))) });
    }
  return made;
}

export function trials(): Trial[] {
  return [
    { label: "lower the learning rate to 0.003", verdict: "helps", tone: "good", effect: 0.121, low: 0.1, high: 0.142, low_samples: 0.09, high_samples: 0.155, margin: 0.01, said: "+0.121 [+0.100, +0.142]" },
    { label: "warm up over 5 % of the steps", verdict: "helps", tone: "good", effect: 0.034, low: 0.015, high: 0.052, low_samples: 0.011, high_samples: 0.06, margin: 0.01, said: "+0.034 [+0.015, +0.052]" },
    { label: "label smoothing of 0.1", verdict: "no difference", tone: "calm", effect: 0.002, low: -0.006, high: 0.008, low_samples: -0.009, high_samples: 0.009, margin: 0.01, said: "+0.002 [−0.006, +0.008]" },
    { label: "weight decay of 0.05", verdict: "unclear", tone: "warn", effect: -0.012, low: -0.041, high: 0.02, low_samples: -0.05, high_samples: 0.03, margin: 0.01, said: "−0.012 [−0.041, +0.020]" },
    { label: "no normalisation", verdict: "hurts", tone: "bad", effect: -0.74, low: -0.78, high: -0.7, low_samples: -0.79, high_samples: -0.69, margin: 0.01, said: "−0.740 [−0.780, −0.700]" },
    { label: "train in half precision without scaling", verdict: "failed", tone: "bad", effect: null, low: null, high: null, low_samples: null, high_samples: null, margin: 0.01, said: "" },
  ];
}
