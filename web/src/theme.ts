/** The colours of the page as a canvas needs them, in light and in dark. */

export interface Theme {
  dark: boolean;
  paper: string;
  sheet: string;
  ink: string;
  soft: string;
  faint: string;
  line: string;
  good: string;
  bad: string;
  warn: string;
  calm: string;
  before: string;
  after: string;
}

const LIGHT: Theme = {
  dark: false, paper: "#ffffff", sheet: "#f6f7f9", ink: "#1b2230", soft: "#4a5468", faint: "#657085", line: "#dde2ea",
  good: "#17764a", bad: "#b3261e", warn: "#8f5a00", calm: "#0b6374", before: "#b8480e", after: "#0b6bb0",
};
const DARK: Theme = {
  dark: true, paper: "#14181f", sheet: "#1b212b", ink: "#e7ebf2", soft: "#b6bfce", faint: "#939eb1", line: "#313a48",
  good: "#5fce95", bad: "#ff8a80", warn: "#f0b453", calm: "#5cc7db", before: "#f2945c", after: "#6bb8f2",
};

const dark = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;
const watchers = new Set<() => void>();
let known: Theme | null = null;

/** The variables of the page where it has them, else the same values from here. */
export function theme(): Theme {
  if (known) return known;
  const base = dark?.matches ? DARK : LIGHT;
  const style = getComputedStyle(document.documentElement);
  const read = { ...base };
  for (const name of Object.keys(base) as (keyof Theme)[]) {
    if (name === "dark") continue;
    const value = style.getPropertyValue(`--${name}`).trim();
    if (/^#[0-9a-f]{6}$/i.test(value)) read[name] = value;
  }
  const [r = 255, g = 255, b = 255] = hex(read.paper);
  read.dark = 0.3 * r + 0.6 * g + 0.1 * b < 128;
  known = read;
  return read;
}

export function hex(colour: string): [number, number, number] {
  const bits = Number.parseInt(colour.slice(1), 16);
  return [(bits >> 16) & 255, (bits >> 8) & 255, bits & 255];
}

/** Told when the reader changes between light and dark. */
export function onTheme(changed: () => void): () => void {
  watchers.add(changed);
  return () => watchers.delete(changed);
}

dark?.addEventListener("change", () => {
  known = null;
  for (const changed of [...watchers]) changed();
});
