/** Elements of the page. Text goes in as text, never as markup. */

type Attribute = string | number | boolean | null | undefined;
type Child = Node | string | null | undefined | false;

/** An element with attributes; `true` sets an empty one, `false` and `null` leave it out. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

export function button(text: string, press: () => void, attributes: Readonly<Record<string, Attribute>> = {}): HTMLButtonElement {
  const element = make("button", { type: "button", class: "nw-button", ...attributes }, text);
  element.addEventListener("click", press);
  return element;
}

/** A choice of one among several, with its label before it. */
export function choice<T extends string>(
  label: string,
  options: readonly (readonly [T, string])[],
  chosen: T,
  pick: (value: T) => void,
): { element: HTMLLabelElement; select: HTMLSelectElement } {
  const select = make("select", { class: "nw-select" });
  for (const [value, text] of options) select.append(make("option", { value }, text));
  select.value = chosen;
  select.addEventListener("change", () => pick(select.value as T));
  return { element: make("label", { class: "nw-field" }, make("span", {}, label), select), select };
}

/** What was there goes, what is given comes; nothing is touched where the text is the same. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

const REACHABLE = "button, input, select, [tabindex]";

/** New children for old ones; who had the focus has it again, by its place among those that can. */
export function renew(element: HTMLElement, children: readonly Node[]): void {
  const at = [...element.querySelectorAll<HTMLElement>(REACHABLE)].indexOf(document.activeElement as HTMLElement);
  element.replaceChildren(...children);
  if (at >= 0) element.querySelectorAll<HTMLElement>(REACHABLE)[at]?.focus({ preventScroll: true });
}

/** Calls that come within a frame are one call at its beginning. */
export function onFrame(draw: () => void): () => void {
  let asked = 0;
  return () => {
    if (asked) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
}

/** For what may come a little later than a map answers: once calls have ceased for a moment, as when a key is let go. */
export function afterwards(draw: () => void, milliseconds = 40): () => void {
  let waiting: ReturnType<typeof setTimeout> | undefined;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, milliseconds);
  };
}

/** What has to be undone when a view goes. */
export class Leaving {
  private readonly undo: (() => void)[] = [];

  add(undo: () => void): void {
    this.undo.push(undo);
  }

  listen<K extends keyof HTMLElementEventMap>(
    element: HTMLElement,
    type: K,
    listener: (event: HTMLElementEventMap[K]) => void,
    options?: AddEventListenerOptions,
  ): void {
    element.addEventListener(type, listener, options);
    this.add(() => element.removeEventListener(type, listener, options));
  }

  /** Told when the element changes its width. */
  resize(element: HTMLElement, changed: () => void): void {
    if (typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(changed);
    observer.observe(element);
    this.add(() => observer.disconnect());
  }

  all(): void {
    for (const undo of this.undo.splice(0)) undo();
  }
}
