/**
 * The data of a page, as `netwright.views.page` writes it and the live socket sends it.
 *
 * Names are those of the Python values. What was not measured is `null`, never 0. Rows are the places of a pass at
 * which something was seen, in execution order (a layer that runs twice has two); columns are inputs.
 */

export type Maybe = number | null;

export interface Page {
  version: 1;
  name: string;
  /** Which weights: "run …, validation 0.97" or "untrained, seed 0". */
  run: string;
  layers: Layer[];
  findings: Finding[];
  notes: string[];
  atlas: Atlas | null;
  /** Courses of trainings, before and after; empty where nothing was trained. */
  curves: Curve[];
  metric: Metric | null;
  trials: Trial[];
  live: Live | null;
}

export interface Layer {
  name: string;
  /** "Conv2d"; in lower case where it is a function called in `forward`. */
  kind: string;
  depth: number;
  /** The module it stands in, "layer1.0"; empty at the top. */
  parent: string;
  input_shape: number[] | null;
  output_shape: number[] | null;
  parameters: number;
  flops: Maybe;
  /** Of one sample's outputs. */
  bytes: Maybe;
  seconds: Maybe;
  trainable: boolean | null;
  file: string | null;
  line: number | null;
  behaviour: Record<string, unknown> & { zeros?: Maybe; histogram?: number[] | null; gradient?: Maybe };
  findings: string[];
}

export interface Finding {
  id: string;
  cause: string;
  status: "confirmed" | "suspected" | "refuted";
  confidence: Maybe;
  explanation: string;
}

/** A statistic of every row for every input. */
export interface Grid {
  name: string;
  label: string;
  /** One sentence: what it is and how it is computed. */
  meaning: string;
  unit: string;
  /** How to colour it: one way from low to high, two ways from a middle, or by class. */
  kind: "sequential" | "diverging" | "category";
  scale: "linear" | "log";
  /** The values of the codes 0 and `levels` - 1; for a category both are 0. */
  low: number;
  high: number;
  rows: number;
  columns: number;
  /** Codes of 8 or 16 bits, row by row, little-endian; the largest code is "not measured". */
  bits: 8 | 16;
  /** base64 of the codes, compressed by raw deflate. */
  data: string;
}

export interface Row {
  /** The layer it belongs to, an index into `Page.layers`. */
  layer: number;
  name: string;
  kind: string;
  parent: string;
  /** 1 for the first time the layer ran. */
  call: number;
}

export interface Inputs {
  count: number;
  ids: string[];
  labels: Maybe[] | null;
  predictions: Maybe[] | null;
  losses: Maybe[] | null;
  classes: string[] | null;
  /** Columns as they are shown first: by class, within one by loss. */
  order: number[];
  kind: "image" | "table" | "series" | "tokens" | "other";
  /** Small pictures of the inputs, N × height × width × channels of 8 bits, base64 of raw deflate. */
  thumbnails: { width: number; height: number; channels: 1 | 3; data: string } | null;
  /** A few words for an input that is no picture. */
  texts: string[] | null;
  /** The numbers of a table's row or of a series, and the names of a table's columns: what the workbench can edit. */
  values?: number[][] | null;
  names?: string[] | null;
}

export interface Pattern {
  name: string;
  title: string;
  explanation: string;
  rows: number[];
  inputs: number[];
  classes: number[];
}

/** What one input is at one row, or what counts in it. */
export interface Detail {
  row: number;
  kind: "maps" | "attention" | "states" | "vector" | "contributions" | "attribution";
  /** maps (C, H, W); attention (heads, to, from); states (T, H); the rest (n,) or (H, W). */
  shape: number[];
  /** How many there are, where the first ones alone are kept: "first 16 of 32". */
  of: number;
  low: number;
  high: number;
  /** 8 bits between low and high, base64 of raw deflate. */
  data: string;
  /** Of an attribution: its method, and how alike it is to that of a randomised network (0 to 1). */
  method: string;
  randomised: Maybe;
  /** Names of the entries of a table's contributions. */
  names: string[] | null;
}

export interface Units {
  row: number;
  /** How many of `of` units are listed. */
  shown: number;
  of: number;
  dead: number[];
  /** Pairs that fire alike, with their correlation. */
  duplicates: [number, number, number][];
  effective_rank: Maybe;
  /** For each listed unit the inputs that excite it most, and how much. */
  top: { unit: number; inputs: number[]; values: number[] }[];
}

/** The same inputs through the same rows at one time: an epoch, or before and after a change. */
export interface Moment {
  label: string;
  grids: Grid[];
}

export interface Atlas {
  rows: Row[];
  inputs: Inputs;
  /** The last one is what everything else here was taken from. */
  moments: Moment[];
  /** For each input the row from which on the belief is right and stays right; -1 for never. */
  depths: number[] | null;
  patterns: Pattern[];
  /** Where the inputs lie beside each other at some rows: the two directions in which they differ most. */
  maps: { row: number; x: number[]; y: number[]; explained: number }[];
  units: Units[];
  details: { input: number; items: Detail[] }[];
  /** What is said beside the map: how many of how many inputs, how beliefs were asked. */
  notes: string[];
}

export interface Curve {
  label: string;
  seed: number;
  loss: Maybe[];
  val_loss: Maybe[];
  val_score: Maybe[];
}

export interface Metric {
  name: string;
  higher_is_better: boolean;
  trivial: number;
  perfect: number;
}

export interface Trial {
  label: string;
  verdict: string;
  tone: "good" | "bad" | "warn" | "calm";
  effect: Maybe;
  low: Maybe;
  high: Maybe;
  low_samples: Maybe;
  high_samples: Maybe;
  margin: Maybe;
  /** The effect and its interval in words. */
  said: string;
}

/** Layers over time, while a network trains. */
export interface Live {
  statistics: { name: string; label: string; meaning: string; scale: "linear" | "log" }[];
  /** Names of the layers whose statistics come, in the order of the values of a column. */
  layers: string[];
  epochs: number;
  /** The address of the socket, relative to the page. */
  socket: string;
}

/** From the process that trains to the page. A `page` begins anew: what came before it is forgotten. */
export type Message =
  | { type: "page"; page: Page }
  | {
      type: "state";
      state: "running" | "paused" | "ended" | "failed";
      epoch: number;
      epochs: number;
      step: number;
      /** Epochs that can be gone back to. */
      checkpoints: number[];
      message: string;
    }
  | { type: "column"; step: number; epoch: number; loss: Maybe; values: Record<string, Maybe[]> }
  | { type: "epoch"; epoch: number; loss: Maybe; val_loss: Maybe; val_score: Maybe }
  | {
      type: "moment";
      moment: Moment;
      /** Of the inputs as the network has them now. */
      predictions?: Maybe[] | null;
      losses?: Maybe[] | null;
      depths?: number[] | null;
    }
  | {
      type: "edited";
      input: number;
      /** By statistic a value a row, of the input as it is and as it was edited. */
      before: Record<string, Maybe[]>;
      after: Record<string, Maybe[]>;
    }
  | { type: "error"; message: string };

/**
 * From the page to the process that trains. The values of an edited picture are those of its thumbnail, height × width
 * × channels from 0 to 1; of a table or series they are as many as `Inputs.values` has.
 */
export type Command =
  | { type: "command"; command: "pause" | "resume" | "step" }
  | { type: "command"; command: "rewind"; epoch: number }
  | { type: "edit"; input: number; values: number[] };
