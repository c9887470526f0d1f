/** The one selection that every view reads and writes, and that the address keeps. */

/** The part of a map that is seen: columns and lines from the first, to after the last. */
export interface Zoom {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export interface Selection {
  /** Rows of the atlas; the first one is where the cell is. */
  rows: readonly number[];
  /** Numbers of inputs (not places in the order of columns); the last one is where the cell is. */
  inputs: readonly number[];
  layer: number | null;
  unit: number | null;
  /** Of `Atlas.moments`; null is the last one. */
  moment: number | null;
  /** The moment that is subtracted. */
  against: number | null;
  statistic: string | null;
  step: number | null;
  zoom: Zoom | null;
  /** Modules whose rows are shown as one. */
  folded: readonly string[];
}

export type Part = keyof Selection;
/** `page` says that the page itself has more than before, such as a moment. */
export type Listener = (changed: ReadonlySet<Part | "page">) => void;

const NOTHING: Selection = {
  rows: [], inputs: [], layer: null, unit: null, moment: null, against: null, statistic: null, step: null,
  zoom: null, folded: [],
};

export class Store {
  private selection: Selection = NOTHING;
  private readonly listeners = new Set<Listener>();

  get now(): Selection {
    return this.selection;
  }

  set(parts: Partial<Selection>): void {
    const changed = new Set<Part>();
    for (const part of Object.keys(parts) as Part[]) {
      if (!same(this.selection[part], parts[part])) changed.add(part);
    }
    if (!changed.size) return;
    this.selection = { ...this.selection, ...parts };
    this.tell(changed);
  }

  clear(): void {
    this.set({ rows: [], inputs: [], layer: null, unit: null });
  }

  /** The page has grown. */
  grown(): void {
    this.tell(new Set(["page"]));
  }

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(changed: ReadonlySet<Part | "page">): void {
    for (const listener of [...this.listeners]) listener(changed);
  }
}

function same(one: unknown, other: unknown): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

const LONGEST = 8000;

/** `rows=3&inputs=1-5,9`: empty where nothing is chosen. */
export function written(selection: Selection): string {
  const parts: string[] = [];
  const add = (name: string, value: string) => value && parts.push(`${name}=${value}`);
  add("rows", runs(selection.rows));
  const inputs = runs(selection.inputs);
  if (inputs.length <= LONGEST) add("inputs", inputs); // an address of megabytes helps nobody
  for (const part of ["layer", "unit", "moment", "against", "step"] as const) {
    const value = selection[part];
    if (value !== null) add(part, String(value));
  }
  if (selection.statistic !== null) add("statistic", encodeURIComponent(selection.statistic));
  const zoom = selection.zoom;
  if (zoom) add("zoom", [zoom.left, zoom.right, zoom.top, zoom.bottom].map((n) => String(Math.round(n * 100) / 100)).join(","));
  add("folded", selection.folded.map(encodeURIComponent).join(","));
  return parts.join("&");
}

/** The selection that a fragment says; what cannot be read is left out. */
export function read(fragment: string): Selection {
  const said = new Map<string, string>();
  for (const part of fragment.replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    if (at > 0) said.set(part.slice(0, at), part.slice(at + 1));
  }
  const whole = (name: string): number | null => {
    const text = said.get(name);
    return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
  };
  const zoom = (said.get("zoom") ?? "").split(",").map(Number);
  const [left = NaN, right = NaN, top = NaN, bottom = NaN] = zoom;
  const statistic = said.get("statistic");
  return {
    rows: fromRuns(said.get("rows") ?? ""),
    inputs: fromRuns(said.get("inputs") ?? ""),
    layer: whole("layer"),
    unit: whole("unit"),
    moment: whole("moment"),
    against: whole("against"),
    step: whole("step"),
    statistic: decoded(statistic ?? "") || null,
    zoom: zoom.length === 4 && left >= 0 && right > left && top >= 0 && bottom > top ? { left, right, top, bottom } : null,
    folded: (said.get("folded") ?? "").split(",").map(decoded).filter((module) => module !== ""),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** `1-5,9`, in the order given. */
export function runs(values: readonly number[]): string {
  const parts: string[] = [];
  for (let first = 0; first < values.length; ) {
    let last = first;
    while (last + 1 < values.length && values[last + 1] === (values[last] ?? 0) + 1) last++;
    parts.push(last > first + 1 ? `${values[first]}-${values[last]}` : values.slice(first, last + 1).join(","));
    first = last + 1;
  }
  return parts.join(",");
}

const MOST = 100_000;

export function fromRuns(text: string): number[] {
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const found = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part);
    if (!found) continue;
    const first = Number(found[1]);
    const last = found[2] === undefined ? first : Number(found[2]);
    for (let n = first; n <= last && values.size < MOST; n++) values.add(n);
  }
  return [...values];
}

/** The numbers that the page has: a link to more rows or inputs than there are selects what is there. */
export function within(selection: Selection, rows: number, inputs: number, layers: number, moments: number): Selection {
  const below = (value: number | null, most: number) => (value !== null && value < most ? value : null);
  return {
    ...selection,
    rows: selection.rows.filter((row) => row < rows),
    inputs: selection.inputs.filter((input) => input < inputs),
    layer: below(selection.layer, layers),
    moment: below(selection.moment, moments),
    against: below(selection.against, moments),
  };
}

/**
 * Keeps the selection in the fragment of the address, and follows it. A page in a notebook's frame may not change its
 * address: there the selection lives as long as the page.
 */
export function keepInAddress(store: Store, fit: (selection: Selection) => Selection): { follow: () => void; stop: () => void } {
  const follow = () => {
    const fragment = address();
    if (fragment.includes("=")) store.set(fit(read(fragment)));
  };
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const write = () => {
    waiting = undefined;
    const fragment = written(store.now);
    try {
      if (fragment || address().includes("=")) history.replaceState(history.state, "", `#${fragment}`);
    } catch {
      // Frames without an address of their own forbid it.
    }
  };
  follow();
  const stop = store.subscribe(() => {
    if (waiting === undefined) waiting = setTimeout(write, 200); // browsers allow some hundred changes in half a minute
  });
  addEventListener("hashchange", follow);
  return {
    follow,
    stop: () => {
      stop();
      clearTimeout(waiting);
      removeEventListener("hashchange", follow);
    },
  };
}

function address(): string {
  try {
    return location.hash;
  } catch {
    return "";
  }
}
