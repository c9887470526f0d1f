/** The cell that keys move. */

export interface Cell {
  line: number;
  column: number;
}

/** Where a key takes the cell; null where the key is none of the map's. From nowhere it begins at the first cell. */
export function stepped(cell: Cell | null, key: string, columns: number, lines: number): Cell | null {
  const moves: Record<string, [down: number, across: number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    PageUp: [-10, 0],
    PageDown: [10, 0],
    Home: [0, -columns],
    End: [0, columns],
  };
  const move = moves[key];
  if (!move || columns < 1 || lines < 1) return null;
  if (!cell) return { line: 0, column: 0 };
  const clamp = (value: number, size: number) => Math.min(size - 1, Math.max(0, value));
  return { line: clamp(cell.line + move[0], lines), column: clamp(cell.column + move[1], columns) };
}
