/** The table of layers: a line a layer with shapes, cost, health and behaviour. */

import { Leaving, make, onFrame, say } from "../dom";
import type { Layer, Maybe, Page } from "../page";
import type { Store } from "../store";
import { bytes, count, duration, exponent, finite, megaflops, plural, shapes, share } from "../words";

interface Column {
  name: string;
  /** A number to sort by; a text sorts by its letters. */
  key: (layer: Layer, index: number) => number | string | null;
  cell: (layer: Layer, scale: Scale) => Node | string;
  right?: boolean;
}

/** The ends that all lines share, so that their bars can be compared. */
interface Scale {
  gradients: [number, number] | null;
}

const sizeOf = (shape: readonly number[] | null): Maybe => (shape ? shape.reduce((a, b) => a * b, 1) : null);

const COLUMNS: readonly Column[] = [
  { name: "layer", key: (_, index) => index, cell: (layer) => named(layer) },
  { name: "in → out", key: (layer) => sizeOf(layer.output_shape), cell: (layer) => shapes(layer.input_shape, layer.output_shape) },
  { name: "params", key: (layer) => layer.parameters || null, cell: (layer) => (layer.parameters ? count(layer.parameters) : ""), right: true },
  { name: "MFLOP", key: (layer) => layer.flops || null, cell: (layer) => megaflops(layer.flops), right: true },
  { name: "bytes", key: (layer) => layer.bytes, cell: (layer) => bytes(layer.bytes), right: true },
  { name: "time", key: (layer) => layer.seconds, cell: (layer) => duration(layer.seconds), right: true },
  { name: "zeros", key: (layer) => layer.behaviour.zeros ?? null, cell: (layer) => withMeter(share(layer.behaviour.zeros), layer.behaviour.zeros), right: true },
  { name: "behaviour", key: (layer) => (layer.behaviour.histogram ? spreadOf(layer.behaviour.histogram) : null), cell: (layer) => sparkline(layer.behaviour.histogram ?? null) },
  { name: "gradient", key: (layer) => layer.behaviour.gradient ?? null, cell: (layer, scale) => withMeter(exponent(layer.behaviour.gradient), decade(layer.behaviour.gradient, scale.gradients)), right: true },
];

export function listing(element: HTMLElement, page: Page, store: Store): () => void {
  const leaving = new Leaving();
  if (!page.layers.length) {
    element.append(make("p", { class: "nw-empty" }, "No layers were seen."));
    return () => undefined;
  }
  const scale: Scale = { gradients: ends(page.layers.map((layer) => layer.behaviour.gradient ?? null)) };
  const columns = COLUMNS.filter((column) => page.layers.some((layer, n) => column.key(layer, n) !== null));
  let [sorted, falling] = [0, false];
  let filter = "";
  const found = make("span", { class: "nw-note", "aria-live": "polite" });
  const box = make("input", { class: "nw-text", type: "search", placeholder: "kind or name", spellcheck: "false" });
  box.addEventListener("input", () => {
    filter = box.value.trim().toLowerCase();
    fill();
  });
  const heads = columns.map((column, n) => {
    const press = make("button", { type: "button" }, column.name);
    press.addEventListener("click", () => {
      [sorted, falling] = [n, sorted === n ? !falling : n > 0];
      fill();
    });
    return make("th", { scope: "col", class: column.right ? "nw-n" : "" }, press);
  });
  const lines = page.layers.map((layer, index) => line(layer, index, columns, scale, page, store));
  const body = make("tbody");
  const fill = () => {
    const key = (columns[sorted] as Column).key;
    const shown = page.layers
      .map((layer, index) => ({ layer, index }))
      .filter(({ layer }) => !filter || `${layer.kind} ${layer.name}`.toLowerCase().includes(filter))
      .sort((one, other) => {
        const [a, b] = [key(one.layer, one.index), key(other.layer, other.index)];
        if (a === null || b === null) return Number(a === null) - Number(b === null) || one.index - other.index; // what was not measured is last
        const less = a < b ? -1 : a > b ? 1 : 0;
        return (falling ? -less : less) || one.index - other.index;
      });
    body.replaceChildren(...shown.map(({ index }) => lines[index] as HTMLElement));
    reachable(body, undefined);
    heads.forEach((head, n) => {
      head.setAttribute("aria-sort", n === sorted ? (falling ? "descending" : "ascending") : "none");
      const name = (columns[n] as Column).name;
      say(head.firstChild as HTMLElement, n === sorted && (n > 0 || falling) ? `${name} ${falling ? "↓" : "↑"}` : name);
    });
    say(found, filter ? `${count(shown.length)} of ${plural(page.layers.length, "layer")}` : plural(page.layers.length, "layer"));
  };
  let marked = new Set<number>();
  const mark = onFrame(() => {
    const chosen = chosenLayers(page, store);
    for (const index of new Set([...marked, ...chosen])) lines[index]?.setAttribute("aria-current", String(chosen.has(index)));
    marked = chosen;
    reachable(body, chosen.size === 1 ? lines[[...chosen][0] as number] : undefined);
    if (chosen.size === 1) reveal(lines[[...chosen][0] as number]);
  });
  fill();
  mark();
  const table = make("table", { class: "nw-table" }, make("thead", {}, make("tr", {}, ...heads, make("th", { scope: "col" }, make("span", { class: "nw-spoken" }, "finding")))), body);
  element.append(
    make("div", { class: "nw-bar" }, make("label", { class: "nw-field" }, make("span", {}, "Filter"), box), found),
    make("div", { class: "nw-scroll nw-tall", tabindex: 0, role: "region", "aria-label": "Layers" }, table),
  );
  leaving.add(store.subscribe((changed) => {
    if (changed.has("rows") || changed.has("layer")) mark();
  }));
  return () => leaving.all();
}

/** The Tab key stops at one line of the table; the arrow keys go on from there. */
function reachable(body: HTMLElement, line: HTMLElement | undefined): void {
  const at = line?.isConnected ? line : body.querySelector<HTMLElement>("tr");
  for (const other of body.querySelectorAll<HTMLElement>('tr[tabindex="0"]')) other.tabIndex = -1;
  if (at) at.tabIndex = 0;
}

/** Scrolls the table, never the page. */
function reveal(line: HTMLElement | undefined): void {
  const box = line?.closest<HTMLElement>(".nw-tall");
  if (!line || !box || !line.isConnected) return;
  const [above, below] = [line.offsetTop - 36, line.offsetTop + line.offsetHeight];
  if (above < box.scrollTop) box.scrollTop = above;
  else if (below > box.scrollTop + box.clientHeight) box.scrollTop = below - box.clientHeight;
}

function chosenLayers(page: Page, store: Store): Set<number> {
  const chosen = new Set(store.now.rows.map((row) => page.atlas?.rows[row]?.layer ?? -1));
  if (store.now.layer !== null) chosen.add(store.now.layer);
  return chosen;
}

function line(layer: Layer, index: number, columns: readonly Column[], scale: Scale, page: Page, store: Store): HTMLTableRowElement {
  const cells = columns.map((column, n) => {
    const cell = make(n ? "td" : "th", n ? { class: column.right ? "nw-n" : "" } : { scope: "row" });
    cell.append(column.cell(layer, scale));
    return cell;
  });
  const row = make("tr", { tabindex: index ? -1 : 0 }, ...cells, make("td", {}, ...health(layer, page)));
  const choose = () => {
    const rows = page.atlas?.rows.flatMap((one, n) => (one.layer === index ? [n] : [])) ?? [];
    store.set({ rows, layer: index, unit: null });
  };
  row.addEventListener("click", choose);
  row.addEventListener("keydown", (event) => {
    const next = event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
    if (next instanceof HTMLElement) {
      reachable(row.parentElement as HTMLElement, next);
      next.focus();
    }
    else if (event.key === "Enter" || event.key === " ") choose();
    else return;
    event.preventDefault();
  });
  return row;
}

/** Kind as a keyword, name as an identifier, indented by the module tree. */
function named(layer: Layer): HTMLElement {
  const name = make("span", {}, make("span", { class: "nw-kind" }, layer.kind), " ", make("span", { class: "nw-name" }, layer.name));
  name.style.paddingLeft = `${1.1 * Math.min(layer.depth, 5)}em`;
  return name;
}

function health(layer: Layer, page: Page): Node[] {
  const ill = page.findings.filter((finding) => layer.findings.includes(finding.id) && finding.status !== "refuted");
  if (ill.length) {
    const confirmed = ill.some((finding) => finding.status === "confirmed");
    return [make("span", { class: confirmed ? "nw-wrong" : "", title: ill.map((one) => one.explanation).join(" ") }, `${confirmed ? "◆" : "◇"} ${[...new Set(ill.map((one) => one.cause))].join(", ")}`)];
  }
  return layer.trainable === false && layer.parameters ? [make("span", { class: "nw-note" }, "frozen")] : [];
}

function withMeter(said: string, part: Maybe | undefined): Node | string {
  if (!said || !finite(part)) return said;
  const fill = make("i");
  fill.style.width = `${Math.round(100 * Math.min(1, Math.max(0.02, part)))}%`;
  return make("span", {}, said, make("span", { class: "nw-meter", "aria-hidden": "true" }, fill));
}

function ends(values: readonly Maybe[]): [number, number] | null {
  const known = values.filter((v): v is number => finite(v) && v > 0);
  return known.length > 1 ? [Math.min(...known), Math.max(...known)] : null;
}

/** Where a gradient lies between the smallest and the largest, by decades. */
function decade(value: Maybe | undefined, range: [number, number] | null): Maybe {
  if (!finite(value) || value <= 0 || !range || range[1] <= range[0]) return null;
  return Math.log(value / range[0]) / Math.log(range[1] / range[0]);
}

/** How many of the bins it takes to hold half of the values: wide histograms sort after narrow ones. */
function spreadOf(counts: readonly number[]): number {
  const total = counts.reduce((a, b) => a + b, 0);
  let [held, bins] = [0, 0];
  for (const many of [...counts].sort((a, b) => b - a)) {
    held += many;
    bins++;
    if (2 * held >= total) break;
  }
  return bins;
}

const SVG = "http://www.w3.org/2000/svg";

function sparkline(counts: readonly number[] | null): Node | string {
  const tallest = counts ? Math.max(...counts) : 0;
  if (!counts || !(tallest > 0)) return "";
  const [width, height] = [60, 18];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", String(width));
  svg.setAttribute("height", String(height));
  svg.setAttribute("class", "nw-spark");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `histogram of outputs, highest in bin ${counts.indexOf(tallest) + 1} of ${counts.length}`);
  const wide = width / counts.length;
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", counts.map((many, n) => {
    const tall = many > 0 ? Math.max(1, (height * many) / tallest) : 0;
    return tall ? `M${(n * wide).toFixed(1)} ${height}v${-tall.toFixed(1)}h${Math.max(1, wide - 0.6).toFixed(1)}V${height}z` : "";
  }).join(""));
  path.setAttribute("fill", "currentColor");
  svg.append(path);
  return svg;
}
