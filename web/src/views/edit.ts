/** An input that can be changed, to see which layers and which beliefs change. */

import { Leaving, make } from "../dom";
import { editor } from "../editor";
import type { Page } from "../page";
import type { Source } from "../source";
import type { Store } from "../store";

export function edit(element: HTMLElement, page: Page, store: Store, source: Source): () => void {
  if (!page.atlas || !page.live) {
    element.append(make("p", { class: "nw-empty" }, "Nothing here answers a change of an input."));
    return () => undefined;
  }
  const leaving = new Leaving();
  const part = editor(page.atlas, store, (command) => source.send(command), leaving);
  element.append(part.element);
  leaving.add(source.subscribe((message) => {
    if (message.type === "edited") part.changed(message);
  }));
  return () => leaving.all();
}
