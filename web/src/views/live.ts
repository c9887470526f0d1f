/** A training while it runs: layers × steps, the loss, and the commands. */

import { button, choice, Leaving, make, onFrame, say } from "../dom";
import { inWords } from "../plot";
import type { Command, Message, Page } from "../page";
import { Ribbon, type Statistic } from "../ribbon";
import type { Source } from "../source";
import type { Store } from "../store";
import type { Column } from "../stream";
import { onTheme } from "../theme";
import { finite, number } from "../words";

export function live(element: HTMLElement, page: Page, store: Store, source: Source): () => void {
  const data = page.live;
  const first = data?.statistics[0];
  if (!data || !first) {
    element.append(make("p", { class: "nw-empty" }, "Nothing is training."));
    return () => undefined;
  }
  const leaving = new Leaving();
  const shownAs = new Map(page.layers.map((layer) => [layer.name, layer.name && layer.name !== layer.kind ? `${layer.kind} ${layer.name}` : layer.kind]));
  const names = data.layers.map((name) => shownAs.get(name) ?? name);
  const ribbon = new Ribbon(names, first);
  const layerOf = new Map(page.layers.map((layer, n) => [layer.name, n]));
  let hovered: { layer: number; place: number } | null = null;
  let waiting: Column[] = [];
  let state: Extract<Message, { type: "state" }> | null = null;

  const frame = make("div", { class: "nw-map", tabindex: 0, role: "application", "aria-roledescription": "map", "aria-label": `Map of ${data.layers.length} layers over the steps of the training` }, ribbon.map, ribbon.over);
  frame.style.height = `${ribbon.height}px`;
  const said = make("p", { class: "nw-status" }, "Waiting for the first step.");
  const spoken = inWords("");
  spoken.setAttribute("aria-live", "polite");
  const words = make("span", { class: "nw-state", role: "status" }, "waiting");
  const problem = make("p", { class: "nw-error", role: "alert", hidden: true });
  const scores = make("p", { class: "nw-note" });
  const strip = make("i", { class: "nw-swatch", "aria-hidden": "true" });
  strip.style.width = "7em";
  const [least, most] = [make("span"), make("span")];
  const meaning = make("p", { class: "nw-meaning" }, first.meaning);
  const dropped = make("p", { class: "nw-note" });

  const send = (command: Command) => source.send(command);
  const pause = button("Pause", () => send({ type: "command", command: "pause" }));
  const step = button("One step", () => send({ type: "command", command: "step" }));
  const resume = button("Resume", () => send({ type: "command", command: "resume" }));
  const back = make("select", { class: "nw-select", "aria-label": "Epoch to go back to" });
  let touched = false;
  back.addEventListener("change", () => (touched = true));
  const rewind = button("Go back", () => back.value && send({ type: "command", command: "rewind", epoch: Number(back.value) }));
  const rewinding = make("span", { class: "nw-field", hidden: true }, make("span", {}, "Go back to epoch"), back, rewind);

  const chosenLayer = () => {
    const name = page.layers[store.now.layer ?? -1]?.name;
    const at = name === undefined ? -1 : data.layers.indexOf(name);
    return at < 0 ? null : at;
  };
  const mark = () => ribbon.marks(hovered, chosenLayer());
  const legend = () => {
    strip.style.background = ribbon.gradient();
    say(least, ribbon.range ? number(ribbon.range.low) : "");
    say(most, ribbon.range ? number(ribbon.range.high) : "");
  };
  const whole = onFrame(() => {
    ribbon.redraw(Math.max(260, Math.floor(frame.clientWidth)));
    mark();
    legend();
  });
  const tell = () => {
    const shown = ribbon.stream.last(ribbon.room);
    const cell = hovered;
    const column = cell ? shown[cell.place] : shown[shown.length - 1];
    if (!column) return;
    const loss = `loss ${finite(column.loss) ? number(column.loss) : "not finite"}`;
    const parts = [`step ${column.step}`, `epoch ${column.epoch}`, loss];
    if (cell) parts.unshift(`${names[cell.layer] ?? ""}: ${ribbon.statistic.label} ${number(ribbon.valuesOf(column)[cell.layer] ?? null)}`);
    say(said, parts.join(", "));
  };
  // What comes within a frame is drawn at once; of more than fits on the map only the last is painted.
  const flush = onFrame(() => {
    const columns = waiting;
    waiting = [];
    const skipped = columns.length - ribbon.room;
    say(dropped, skipped > 0 ? `${skipped} steps came faster than they can be drawn and were left out.` : "");
    ribbon.add(columns);
    mark();
    legend();
    tell();
  });
  const show = () => {
    const now = state?.state ?? "waiting";
    words.dataset["state"] = now;
    say(words, state ? `${now}, epoch ${state.epoch} of ${state.epochs}, step ${state.step}${state.message ? `: ${state.message}` : ""}` : "waiting");
    pause.disabled = now !== "running";
    step.disabled = resume.disabled = now !== "paused";
    const epochs = state?.checkpoints ?? [];
    rewinding.hidden = !epochs.length;
    if (back.dataset["epochs"] !== epochs.join()) {
      back.dataset["epochs"] = epochs.join();
      const kept = touched && back.value !== "" ? Number(back.value) : -1;
      back.replaceChildren(...epochs.map((epoch) => make("option", { value: epoch }, String(epoch))));
      back.value = String(epochs.includes(kept) ? kept : (epochs[epochs.length - 1] ?? ""));
    }
  };
  const fail = (text: string) => {
    say(problem, text);
    problem.hidden = !text;
  };

  leaving.add(source.subscribe((message) => {
    if (message.type === "column") {
      waiting.push(message);
      if (waiting.length > 8192) waiting.splice(0, 4096); // a hidden tab draws no frames
      flush();
    } else if (message.type === "state") {
      state = message;
      fail("");
      show();
    } else if (message.type === "epoch")
      say(scores, `Epoch ${message.epoch}: ${[["training loss", message.loss], ["validation loss", message.val_loss], ["validation score", message.val_score]].flatMap(([name, value]) => (finite(value as number | null) ? [`${name} ${number(value as number)}`] : [])).join(", ") || "nothing finite"}`);
    else if (message.type === "error") fail(message.message);
  }));

  const choose = (cell: { layer: number; place: number }) => {
    const layer = layerOf.get(data.layers[cell.layer] ?? "") ?? null;
    const rows = layer === null ? [] : (page.atlas?.rows.flatMap((row, n) => (row.layer === layer ? [n] : [])) ?? []);
    store.set({ layer, rows, unit: null, step: ribbon.stream.last(ribbon.room)[cell.place]?.step ?? null });
  };
  const point = (cell: { layer: number; place: number } | null) => {
    hovered = cell;
    mark();
    tell();
  };
  const at = (event: MouseEvent) => {
    const box = frame.getBoundingClientRect();
    return ribbon.at(event.clientX - box.left, event.clientY - box.top);
  };
  leaving.listen(frame, "pointermove", (event) => point(at(event)));
  leaving.listen(frame, "pointerleave", () => point(null));
  leaving.listen(frame, "click", (event) => {
    const cell = at(event);
    if (cell) choose(cell);
  });
  leaving.listen(frame, "keydown", (event) => {
    const moves: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    const many = Math.min(ribbon.room, ribbon.stream.columns.length);
    if (move && many) {
      const from = hovered ?? { layer: 0, place: many - 1 };
      const clamp = (value: number, size: number) => Math.min(size - 1, Math.max(0, value));
      point({ layer: clamp(from.layer + move[0], data.layers.length), place: clamp(from.place + move[1], many) });
      say(spoken, said.textContent ?? "");
    } else if (event.key === "Enter" && hovered) choose(hovered);
    else if (event.key === "Escape") point(null);
    else return;
    event.preventDefault();
  });

  const statistics = choice("Statistic", data.statistics.map((one) => [one.name, one.label] as const), first.name, (name) => {
    ribbon.statistic = data.statistics.find((one) => one.name === name) as Statistic;
    say(meaning, ribbon.statistic.meaning);
    whole();
  });
  element.append(
    make("div", { class: "nw-bar" }, words, make("span", { class: "nw-group", role: "group", "aria-label": "Training" }, pause, step, resume), rewinding),
    problem,
    make("div", { class: "nw-bar" }, statistics.element, make("span", { class: "nw-key" }, least, strip, most)),
    meaning,
    make("div", { class: "nw-frame" }, frame),
    said, spoken, scores, dropped,
  );
  show();
  whole();
  leaving.resize(frame, whole);
  leaving.add(onTheme(whole));
  leaving.add(store.subscribe((changed) => {
    if (changed.has("layer")) mark();
  }));
  return () => leaving.all();
}
