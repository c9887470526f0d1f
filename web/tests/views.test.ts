import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { mountAll, start, VIEWS } from "../src/main";
import type { Command, Message, Page } from "../src/page";
import type { Source } from "../src/source";
import { Store } from "../src/store";
import { page } from "./fixture";

let leave: () => void = () => undefined;
const data = page({ rows: 30, inputs: 40 });

beforeEach(() => {
  HTMLCanvasElement.prototype.getContext = (() => null) as never; // there is no canvas here; what is drawn is looked at in a browser
});

afterEach(() => {
  leave();
  document.body.replaceChildren();
});

/** What was asked for the next frame is drawn. */
const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
const PATIENCE = { timeout: 4000 };
/** Data are unpacked in the background: what is expected comes, or the test fails. */
const shows = (name: string, words: string) => vi.waitFor(() => expect(view(name).textContent).toContain(words), PATIENCE);

async function mounted(names: string[], of: Page = data, source?: Source): Promise<Store> {
  document.body.innerHTML = names.map((name) => `<div data-view="${name}"></div>`).join("");
  const store = new Store();
  leave = mountAll(document, of, store, source);
  await frame();
  return store;
}

const view = (name: string) => document.querySelector<HTMLElement>(`[data-view="${name}"]`)!;
const press = (element: Element, key: string, more = {}) => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));

describe("the map", () => {
  test("says in words what it is and how it is used", async () => {
    await mounted(["atlas"]);
    const map = view("atlas").querySelector('[role="application"]')!;
    const help = document.getElementById(map.getAttribute("aria-describedby")!);
    expect(help?.textContent).toContain("Arrow keys move the cell");
    await shows("atlas", "40 of 10,000 inputs");
  });

  test("moves the cell with the keys and speaks it", async () => {
    const store = await mounted(["atlas"]);
    const map = view("atlas").querySelector('[role="application"]')!;
    press(map, "ArrowDown");
    press(map, "ArrowRight");
    expect(store.now.rows).toEqual([0]);
    expect(store.now.inputs).toEqual([data.atlas!.inputs.order[1]]);
    await vi.waitFor(() => expect(view("atlas").querySelector("[aria-live]")?.textContent).toMatch(/^Conv2d stem, input \d+, class airplane, belief /), PATIENCE);
    press(map, "Escape");
    expect([store.now.rows, store.now.inputs]).toEqual([[], []]);
  });

  test("chooses a range with Shift and an arrow", async () => {
    const store = await mounted(["atlas"]);
    const map = view("atlas").querySelector('[role="application"]')!;
    for (let n = 0; n < 2; n++) press(map, "ArrowRight");
    for (let n = 0; n < 3; n++) press(map, "ArrowRight", { shiftKey: true });
    expect(store.now.inputs).toEqual(data.atlas!.inputs.order.slice(1, 5));
  });

  test("opens the input with Enter", async () => {
    await mounted(["atlas", "input"]);
    const map = view("atlas").querySelector('[role="application"]')!;
    press(map, "ArrowRight");
    press(map, "Enter");
    expect(document.activeElement).toBe(view("input"));
  });

  test("folds the module of the cell with f", async () => {
    const store = await mounted(["atlas"]);
    store.set({ rows: [3], inputs: [0] });
    press(view("atlas").querySelector('[role="application"]')!, "f");
    expect(store.now.folded).toEqual([data.atlas!.rows[3]!.parent]);
  });

  test("has every statistic and moment to choose from", async () => {
    const store = await mounted(["atlas"]);
    const [statistic, against] = view("atlas").querySelectorAll("select");
    expect([...statistic!.options].map((option) => option.value)).toEqual(["belief", "norm", "zeros", "margin"]);
    expect([...against!.options].map((option) => option.text)).toEqual(["none", "epoch 1", "epoch 5", "epoch 20"]);
    statistic!.value = "norm";
    statistic!.dispatchEvent(new Event("change"));
    expect(store.now.statistic).toBe("norm");
  });
});

describe("one selection", () => {
  test("goes from a pattern to the map, the input and the layer", async () => {
    const store = await mounted(["patterns", "input", "layer", "listing", "atlas"]);
    view("patterns").querySelectorAll("button")[0]!.click();
    await frame();
    expect(store.now.inputs).toEqual(data.atlas!.patterns[0]!.inputs);
    await shows("input", "inputs chosen");
    await shows("layer", data.layers[store.now.layer!]!.name);
    expect(view("listing").querySelectorAll('tr[aria-current="true"]').length).toBe(store.now.rows.length);
    expect(view("patterns").querySelector('[aria-pressed="true"]')).not.toBeNull();
  });

  test("goes from the table to the map", async () => {
    const store = await mounted(["listing", "atlas"]);
    view("listing").querySelectorAll<HTMLElement>("tbody tr")[4]!.click();
    expect(store.now.rows).toEqual([4]);
    await shows("atlas", "Conv2d layer1.0.conv2");
  });
});

describe("the input", () => {
  const kept = data.atlas!.details[0]!.input;

  test("shows what was kept of it, with the words of its randomisation check", async () => {
    const store = await mounted(["input"]);
    store.set({ inputs: [kept] });
    await frame();
    await shows("input", "Against a network with random weights it is 0.12 alike");
    await shows("input", "Feature maps, first 8 of 32");
  });

  test("says in words that details were not kept", async () => {
    const store = await mounted(["input"]);
    const other = data.atlas!.inputs.order.find((input) => !data.atlas!.details.some((one) => one.input === input))!;
    store.set({ inputs: [other] });
    await frame();
    await shows("input", "were not kept for this input");
  });

  test("of a table is shown with its names and values", async () => {
    const inputs = { ...data.atlas!.inputs, kind: "table" as const, thumbnails: null, names: ["age", "income"], values: data.atlas!.inputs.ids.map((_, n) => [20 + n, 1000 * n]) };
    const store = await mounted(["input"], { ...data, atlas: { ...data.atlas!, inputs } });
    store.set({ inputs: [5] });
    await shows("input", "age25income5,000");
  });

  test("is compared with a second one", async () => {
    const store = await mounted(["input"]);
    store.set({ inputs: [3, 7] });
    await frame();
    await shows("input", "Input 3 less input 7");
  });
});

describe("the table of layers", () => {
  test("is a table with a heading for each column", async () => {
    await mounted(["listing"]);
    const heads = [...view("listing").querySelectorAll("thead th[scope=col]")].map((head) => head.textContent);
    expect(heads.slice(0, 3)).toEqual(["layer", "in → out", "params"]);
    expect(view("listing").querySelectorAll("tbody tr").length).toBe(30);
  });

  test("is filtered by kind or name and says how many are left", async () => {
    await mounted(["listing"]);
    const box = view("listing").querySelector("input")!;
    box.value = "relu";
    box.dispatchEvent(new Event("input"));
    const left = view("listing").querySelectorAll("tbody tr").length;
    expect(left).toBeGreaterThan(0);
    await shows("listing", `${left} of 30 layers`);
  });

  test("is sorted by a press, the largest first, what was not measured last", async () => {
    await mounted(["listing"]);
    const heads = [...view("listing").querySelectorAll<HTMLElement>("thead button")];
    const at = heads.findIndex((head) => head.textContent === "gradient");
    heads[at]!.click();
    const cells = [...view("listing").querySelectorAll("tbody tr")].map((line) => line.children[at]!.textContent);
    const known = cells.filter((cell) => cell !== "").map(Number);
    expect(known).toEqual([...known].sort((a, b) => b - a));
    expect(cells.indexOf("")).toBe(known.length);
  });
});

describe("a training", () => {
  function training(): { of: Page; source: Source; sent: Command[]; tell: (message: Message) => void } {
    const sent: Command[] = [];
    const listeners: ((message: Message) => void)[] = [];
    const source: Source = { send: (command) => sent.push(command), subscribe: (listener) => (listeners.push(listener), () => undefined), open: true, close: () => undefined };
    const live = { statistics: [{ name: "norm", label: "size", meaning: "", scale: "log" as const }], layers: ["stem", "head"], epochs: 3, socket: "live" };
    return { of: { ...data, live }, source, sent, tell: (message) => listeners.forEach((listener) => listener(message)) };
  }

  test("is paused, resumed and taken back by its buttons", async () => {
    const { of, source, sent, tell } = training();
    await mounted(["live"], of, source);
    tell({ type: "state", state: "paused", epoch: 2, epochs: 3, step: 40, checkpoints: [1, 2], message: "" });
    const buttons = new Map([...view("live").querySelectorAll("button")].map((button) => [button.textContent, button]));
    expect(buttons.get("Pause")?.disabled).toBe(true);
    buttons.get("Resume")?.click();
    buttons.get("Go back")?.click();
    expect(sent).toEqual([{ type: "command", command: "resume" }, { type: "command", command: "rewind", epoch: 2 }]);
    await shows("live", "paused, epoch 2 of 3, step 40");
  });

  test("tells the last step once a frame, however many came", async () => {
    const { of, source, tell } = training();
    await mounted(["live"], of, source);
    for (let step = 1; step <= 500; step++) tell({ type: "column", step, epoch: 1, loss: 1 / step, values: { norm: [1, step] } });
    await frame();
    await shows("live", "step 500, epoch 1, loss 0.002");
  });

  test("shows an error in words until the next state", async () => {
    const { of, source, tell } = training();
    await mounted(["live"], of, source);
    tell({ type: "error", message: "The training stopped answering." });
    expect(view("live").querySelector('[role="alert"]')?.textContent).toBe("The training stopped answering.");
  });

  test("offers the last epoch to go back to, also where the first is kept", async () => {
    const { of, source, sent, tell } = training();
    await mounted(["live"], of, source);
    tell({ type: "state", state: "running", epoch: 1, epochs: 3, step: 20, checkpoints: [0], message: "" });
    tell({ type: "state", state: "running", epoch: 2, epochs: 3, step: 40, checkpoints: [0, 1, 2], message: "" });
    expect(view("live").querySelector<HTMLSelectElement>("[aria-label='Epoch to go back to']")?.value).toBe("2");
    [...view("live").querySelectorAll("button")].find((button) => button.textContent === "Go back")?.click();
    expect(sent).toEqual([{ type: "command", command: "rewind", epoch: 2 }]);
  });

  test("shows which beliefs an edited input changes", async () => {
    const { of, source, tell } = training();
    const store = await mounted(["edit"], of, source);
    store.set({ inputs: [2] });
    await frame();
    tell({ type: "edited", input: 2, before: { belief: [1, 1] }, after: { belief: [1, 3] } });
    await shows("edit", "belief: 1 row changes");
    await shows("edit", "automobile → cat");
  });
});

describe("a page", () => {
  const bare: Page = { ...data, atlas: null, curves: [], trials: [], layers: [], findings: [] };

  test.each(Object.keys(VIEWS))("without any data says so in the view %s", async (name) => {
    await mounted([name], bare);
    await vi.waitFor(() => expect(view(name).textContent?.trim()).not.toBe(""), PATIENCE);
  });

  test("shows names as text, whatever they hold", async () => {
    const evil = '<img src=x onerror="boom">';
    const layers = data.layers.map((layer) => ({ ...layer, name: evil, kind: evil, parent: "" }));
    const atlas = { ...data.atlas!, rows: data.atlas!.rows.map((row) => ({ ...row, name: evil, kind: evil })), notes: [evil], inputs: { ...data.atlas!.inputs, classes: Array(10).fill(evil), ids: Array(40).fill(evil) } };
    const store = await mounted(Object.keys(VIEWS), { ...data, name: evil, layers, atlas });
    store.set({ rows: [0], inputs: [0], layer: 0 });
    await frame();
    expect(document.querySelector("img")).toBeNull();
    expect(document.body.textContent).toContain(evil);
  });

  test("starts from the data that stand in it, and styles its views once", async () => {
    document.body.innerHTML = '<div data-view="trials"></div><div data-view="unknown"></div>';
    const script = document.createElement("script");
    script.id = "netwright-data";
    script.type = "application/json";
    script.textContent = JSON.stringify(data);
    document.body.append(script);
    start();
    start();
    expect(document.querySelectorAll("#nw-style").length).toBe(1);
    await shows("trials", "Effects of what was tried");
  });

  test("that cannot be read says why", async () => {
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    document.body.innerHTML = '<div data-view="atlas"></div><script type="application/json" id="netwright-data">{"version": 9}</script>';
    start();
    await shows("atlas", "data of version 9");
  });
});
