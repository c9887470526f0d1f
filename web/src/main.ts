/** Every `[data-view]` of the page gets its view; one store links them. */

import { make } from "./dom";
import type { Message, Page } from "./page";
import { embedded, NOBODY, Socket, type Source, socketAddress } from "./source";
import { keepInAddress, type Selection, Store, within } from "./store";
import { addStyle } from "./style";
import { atlas } from "./views/atlas";
import { curves } from "./views/curves";
import { data } from "./views/data";
import { edit } from "./views/edit";
import { input } from "./views/input";
import { layer } from "./views/layer";
import { listing } from "./views/listing";
import { live } from "./views/live";
import { patterns } from "./views/patterns";
import { trials } from "./views/trials";

export { NOBODY, Socket, type Source } from "./source";
export { Store } from "./store";
export { addStyle } from "./style";

/** Builds a view into an element; what comes back takes it away again. */
export type Mount = (element: HTMLElement, page: Page, store: Store, source: Source) => () => void;

export const VIEWS: Readonly<Record<string, Mount>> = { atlas, patterns, input, layer, data, listing, curves, trials, live, edit };

/** Mounts the views that stand in `root`; what comes back takes all of them away. */
export function mountAll(root: ParentNode, page: Page, store: Store, source: Source = NOBODY): () => void {
  const leave: (() => void)[] = [];
  for (const element of root.querySelectorAll<HTMLElement>("[data-view]")) {
    const view = VIEWS[element.dataset["view"] ?? ""];
    if (!view) continue;
    element.replaceChildren();
    try {
      leave.push(view(element, page, store, source));
    } catch (error) {
      failed(element, error);
    }
  }
  return () => {
    for (const one of leave) one();
  };
}

function failed(element: HTMLElement, error: unknown): void {
  element.replaceChildren(make("p", { class: "nw-error" }, `This view cannot be drawn: ${error instanceof Error ? error.message : String(error)}.`));
  console.error(error);
}

/** Reads the data of the page, mounts what stands in it and, where something trains, follows its socket. */
export function start(root: Document = document): void {
  const elements = [...root.querySelectorAll<HTMLElement>("[data-view]")];
  if (!elements.length) return;
  addStyle(root);
  let page: Page | null;
  try {
    page = embedded(root);
  } catch (error) {
    for (const element of elements) failed(element, error);
    return;
  }
  if (!page) return;
  const store = new Store();
  let now = page;
  const fit = (selection: Selection): Selection =>
    within(selection, now.atlas?.rows.length ?? 0, now.atlas?.inputs.count ?? 0, now.layers.length, now.atlas?.moments.length ?? 0);
  const address = keepInAddress(store, fit);
  const source: Source = page.live?.socket ? new Socket(socketAddress(page.live.socket, root.location.href)) : NOBODY;
  let leave = mountAll(root, page, store, source);
  source.subscribe((message: Message) => {
    if (message.type === "page") {
      now = message.page;
      leave();
      store.set(fit(store.now));
      address.follow(); // a link to a cell may have waited for these rows
      leave = mountAll(root, now, store, source);
    } else if (message.type === "moment" && now.atlas) {
      const at = now.atlas.moments.findIndex((moment) => moment.label === message.moment.label);
      if (at >= 0) now.atlas.moments[at] = message.moment;
      else now.atlas.moments.push(message.moment);
      const { inputs } = now.atlas;
      if (message.predictions !== undefined) inputs.predictions = message.predictions;
      if (message.losses !== undefined) inputs.losses = message.losses;
      if (message.depths !== undefined) now.atlas.depths = message.depths;
      store.grown();
    }
  });
}

if (typeof document !== "undefined") {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => start());
  else start();
}
