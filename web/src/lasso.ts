/** Points inside of a line drawn by hand. */

export type Point = readonly [x: number, y: number];

/** Even-odd rule. */
export function inside([x, y]: Point, outline: readonly Point[]): boolean {
  let within = false;
  for (let n = 0, before = outline.length - 1; n < outline.length; before = n++) {
    const [x1, y1] = outline[n] as Point;
    const [x2, y2] = outline[before] as Point;
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) within = !within;
  }
  return within;
}

/** The nearest point, if it lies within `reach`; -1 for none. */
export function nearest(at: Point, points: readonly Point[], reach: number): number {
  let [best, least] = [-1, reach];
  points.forEach(([x, y], n) => {
    const far = Math.hypot(x - at[0], y - at[1]);
    if (far <= least) [best, least] = [n, far];
  });
  return best;
}

/** The nearest point in a direction: less to the side than ahead; -1 for none. */
export function towards(from: number, dx: number, dy: number, points: readonly Point[]): number {
  const start = points[from];
  if (!start) return points.length ? 0 : -1;
  let [best, least] = [-1, Infinity];
  points.forEach(([x, y], n) => {
    const ahead = (x - start[0]) * dx + (y - start[1]) * dy;
    const aside = Math.abs((x - start[0]) * dy) + Math.abs((y - start[1]) * dx);
    if (n === from || ahead <= 0 || aside > ahead) return;
    const far = ahead + 2 * aside;
    if (far < least) [best, least] = [n, far];
  });
  return best;
}
