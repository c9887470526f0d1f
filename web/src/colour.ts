/**
 * Colours by our own formula in OKLab (Ottosson 2020): steps that are equal there look equal.
 *
 * A scale of one way runs from the paper to the ink, so that much always stands out: from light to dark on a light page
 * and from dark to light on a dark one. Lightness is linear; the hue turns as well, for those who see it.
 */

export type Rgb = [number, number, number];
type Lab = [number, number, number];

const linear = (channel: number): number => {
  const c = channel / 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
};
const encoded = (c: number): number => 255 * (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);

export function toLab([r8, g8, b8]: Rgb): Lab {
  const [r, g, b] = [linear(r8), linear(g8), linear(b8)];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function toLinear([L, a, b]: Lab): Rgb {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

/** Lightness, chroma and hue (in degrees) to a colour of the screen; where there is none so vivid, the most vivid. */
export function fromLch(lightness: number, chroma: number, hue: number): Rgb {
  const angle = (hue * Math.PI) / 180;
  const at = (c: number): Rgb => toLinear([lightness, c * Math.cos(angle), c * Math.sin(angle)]);
  const shown = (rgb: Rgb): boolean => rgb.every((c) => c >= -1e-4 && c <= 1.0001);
  let low = 0;
  let high = chroma;
  if (shown(at(high))) low = high;
  else for (let n = 0; n < 12; n++) shown(at((low + high) / 2)) ? (low = (low + high) / 2) : (high = (low + high) / 2);
  return at(low).map((c) => Math.round(encoded(Math.min(1, Math.max(0, c))))) as Rgb;
}

/** A scale as the colour of a part from 0 to 1. */
export type Scale = (part: number) => Rgb;

const mix = (from: number, to: number, part: number): number => from + (to - from) * part;

/** From yellow over green to blue, once lighter first, once darker first. */
export function sequential(dark: boolean): Scale {
  return (part) => {
    const t = Math.min(1, Math.max(0, part));
    const lightness = dark ? mix(0.25, 0.94, t) : mix(0.96, 0.28, t);
    const vivid = dark ? 1 - t : t;
    return fromLch(lightness, mix(0.06, 0.11, Math.sin(Math.PI * Math.min(1, vivid))), mix(105, 275, vivid));
  };
}

/** Blue below the middle, which is 0.5, orange above it; the middle is near the paper. */
export function diverging(dark: boolean): Scale {
  return (part) => {
    const away = 2 * Math.min(1, Math.max(0, part)) - 1;
    const far = Math.abs(away);
    const lightness = dark ? mix(0.27, 0.83, far) : mix(0.96, 0.42, far);
    return fromLch(lightness, 0.15 * far, away < 0 ? 250 : 50);
  };
}

/** Okabe and Ito's colours, which readers with any kind of colour vision tell apart. */
const OKABE_ITO: readonly Rgb[] = [
  [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0], [240, 228, 66],
];

/** Of a class: the colours of Okabe and Ito and a grey, then the same ones darker and lighter in turn. */
export function category(index: number, dark: boolean): Rgb {
  const one = index % 8;
  const round = Math.floor(index / 8);
  const base = one < 7 ? (OKABE_ITO[one] as Rgb) : dark ? ([190, 190, 190] as Rgb) : ([85, 85, 85] as Rgb);
  if (round === 0) return base;
  const [lightness, a, b] = toLab(base);
  const reach = 0.16 * Math.ceil(round / 2) * (round % 2 ? -1 : 1);
  const hue = (Math.atan2(b, a) * 180) / Math.PI;
  return fromLch(Math.min(0.93, Math.max(dark ? 0.42 : 0.3, lightness + reach)), Math.hypot(a, b) * 0.8, hue);
}

/** The pattern that stands beside the colour of a class where there is room: none, then stripes and dots. */
export function pattern(index: number): "plain" | "rising" | "falling" | "level" | "dots" {
  return (["plain", "rising", "falling", "level", "dots"] as const)[Math.floor(index / 8) % 5] ?? "plain";
}

/** What a reader sees who lacks a kind of cone, in full (Viénot, Brettel and Mollon 1999). */
export function seenWithout(cone: "red" | "green", rgb: Rgb): Rgb {
  const [r, g, b] = rgb.map(linear) as Rgb;
  const rows =
    cone === "red"
      ? [0.11238 * r + 0.88762 * g, 0.11238 * r + 0.88762 * g, 0.00401 * r - 0.00401 * g + b]
      : [0.29275 * r + 0.70725 * g, 0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b];
  return rows.map((c) => Math.round(encoded(Math.min(1, Math.max(0, c))))) as Rgb;
}

export function css([r, g, b]: Rgb, alpha = 1): string {
  return alpha === 1 ? `rgb(${r} ${g} ${b})` : `rgb(${r} ${g} ${b} / ${alpha})`;
}

/** Black or white, whichever can be read on a colour. */
export function onto(rgb: Rgb): string {
  return toLab(rgb)[0] > 0.62 ? "#000000" : "#ffffff";
}

/** Pixels as a canvas keeps them, for `size` even parts of a scale. */
export function table(scale: Scale, size: number): Uint32Array {
  const colours = new Uint32Array(size);
  for (let n = 0; n < size; n++) colours[n] = pixel(scale(size > 1 ? n / (size - 1) : 0.5));
  return colours;
}

const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

export function pixel([r, g, b]: Rgb, alpha = 255): number {
  return (LITTLE ? (alpha << 24) | (b << 16) | (g << 8) | r : (r << 24) | (g << 16) | (b << 8) | alpha) >>> 0;
}
