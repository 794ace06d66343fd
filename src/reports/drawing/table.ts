import type { Align, Canvas, Colour } from "./canvas.ts";
import { type Flow, LEFT } from "./flow.ts";
import { FAINT, INK, RULE, SIZE, SOFT } from "./theme.ts";
import type { Face } from "./type.ts";
import { count } from "./writing.ts";

export interface Column {
  title: string;
  /** A second line below the title. */
  unit?: string;
  width: number;
  align?: Align;
}

export type Cell =
  | string
  | { text: string; face?: Face; colour?: Colour }
  /** Draws the cell's content itself. */
  | { draw: (canvas: Canvas, x: number, y: number, width: number, height: number) => void };

/** A heading across all columns, for the rows that follow. */
export interface GroupRow {
  group: string;
}

export type Row = readonly Cell[] | GroupRow;

export interface TableStyle {
  /** Small type for many rows. */
  dense?: boolean;
  /** Distance from the left margin. */
  indent?: number;
  /** Bound of the characters shown. */
  maxCharacters?: number;
}

const GAP = 4;
/** A row taller than this, in points, is broken across pages. */
const MAX_UNBROKEN = 600;

/**
 * A table across as many pages as needed, with the headings on each. It takes at most half of the characters that
 * the report has left, so that later tables have room; the number of its other rows is shown below it.
 */
export function table(
  flow: Flow,
  columns: readonly Column[],
  rows: Iterable<Row>,
  { dense = false, indent = 0, maxCharacters = Number.POSITIVE_INFINITY }: TableStyle = {},
): void {
  const size = dense ? SIZE.dense : SIZE.small;
  const leading = dense ? 9.2 : 10.6;
  const padding = dense ? 0 : 2;
  const left = LEFT + indent;
  const width = columns.reduce((sum, column) => sum + column.width, 0);
  const headings = () => writeHeadings(flow, columns, left, width);
  let pendingGroup: GroupRow | null = null;
  let isFirst = true;
  let omitted = 0;
  let characters = Math.min(maxCharacters, flow.type.charactersLeft / 2);

  const begin = (height: number) => {
    if (isFirst) {
      flow.need(28 + height);
      headings();
      isFirst = false;
    } else if (flow.room < height) {
      flow.newPage();
      headings();
    }
  };

  for (const row of rows) {
    if ("group" in row) {
      pendingGroup = row;
      continue;
    }
    if (characters <= 0) {
      omitted++;
      continue;
    }
    const cells = row.map((cell, at) => linesOf(flow, cell, columns[at], size));
    const shown = cells.reduce((sum, lines) => sum + lengthOf(lines), 0);
    characters -= shown;
    flow.type.charactersLeft -= shown;
    const lines = cells.reduce((most, cell) => Math.max(most, cell?.length ?? 1), 1);
    const height = lines * leading + padding;
    if (pendingGroup !== null) {
      begin(height + 14);
      const style = { size: SIZE.small, face: "bold" as const, maxWidth: width };
      flow.canvas.text(pendingGroup.group, left, flow.y + 10, style);
      flow.y += 13.5;
      pendingGroup = null;
    }
    // The lines of a row taller than a page continue on the next page.
    if (height <= MAX_UNBROKEN) begin(height);
    else begin(leading * 3);
    writeRow(flow, columns, row, cells, { left, width, size, leading, padding, headings });
  }
  if (omitted > 0) {
    const style = { size: SIZE.small, colour: SOFT };
    flow.paragraph(`and ${count(omitted, "more row")}, not shown`, style);
  }
  flow.y += 4;
}

function lengthOf(lines: readonly string[] | null): number {
  return lines === null ? 0 : lines.reduce((sum, line) => sum + line.length, 0);
}

function writeHeadings(flow: Flow, columns: readonly Column[], left: number, width: number): void {
  const hasUnits = columns.some(({ unit }) => unit !== undefined);
  const { canvas } = flow;
  const first = flow.y + 9;
  let x = left;
  for (const { title, unit, width: columnWidth, align = "left" } of columns) {
    const at = edge(x, columnWidth, align);
    canvas.text(title, at, first, { size: SIZE.tiny, face: "bold", align });
    if (unit !== undefined) {
      canvas.text(unit, at, first + 7.5, { size: SIZE.tiny, colour: SOFT, align });
    }
    x += columnWidth;
  }
  flow.y += hasUnits ? 21 : 13.5;
  canvas.line([left, flow.y], [left + width, flow.y], { colour: RULE, line: 0.7 });
  flow.y += 1;
}

function linesOf(flow: Flow, cell: Cell, column: Column | undefined, size: number) {
  if (column === undefined || (typeof cell === "object" && "draw" in cell)) return null;
  const { text, face } = typeof cell === "string" ? { text: cell, face: undefined } : cell;
  return flow.type.wrap(text, column.width - GAP, size, face);
}

function writeRow(
  flow: Flow,
  columns: readonly Column[],
  row: readonly Cell[],
  cells: readonly (readonly string[] | null)[],
  style: {
    left: number;
    width: number;
    size: number;
    leading: number;
    padding: number;
    headings: () => void;
  },
): void {
  const { left, width, size, leading, padding, headings } = style;
  const lines = cells.reduce((most, cell) => Math.max(most, cell?.length ?? 1), 1);
  for (let line = 0; line < lines; line++) {
    if (flow.room < leading + padding) {
      flow.newPage();
      headings();
    }
    const { canvas } = flow;
    let x = left;
    for (let at = 0; at < columns.length; at++) {
      const { width: columnWidth = 0, align = "left" } = columns[at] ?? {};
      const cell = row[at];
      const text = cells[at]?.[line];
      if (line === 0 && typeof cell === "object" && "draw" in cell) {
        cell.draw(canvas, x, flow.y + 1, columnWidth - GAP, leading);
      } else if (text !== undefined && text !== "") {
        const { face = "regular", colour = INK } = styleOf(cell);
        const y = flow.y + size + padding / 2 + 0.6;
        canvas.text(text, edge(x, columnWidth, align), y, { size, align, face, colour });
      }
      x += columnWidth;
    }
    flow.y += leading;
  }
  flow.y += padding;
  flow.canvas.line([left, flow.y], [left + width, flow.y], { colour: FAINT, line: 0.4 });
}

const PLAIN: { face?: Face; colour?: Colour } = {};

function styleOf(cell: Cell | undefined): { face?: Face; colour?: Colour } {
  return typeof cell === "object" && "text" in cell ? cell : PLAIN;
}

function edge(x: number, width: number, align: Align): number {
  return align === "left" ? x : align === "right" ? x + width - GAP : x + (width - GAP) / 2;
}

/** Labels with values in columns, row by row; long values continue on the next page. */
export function facts(
  flow: Flow,
  list: readonly (readonly [label: string, value: string])[],
  { columns, width }: { columns: number; width: number },
): void {
  const columnWidth = width / columns;
  for (let at = 0; at < list.length; at += columns) {
    const row = list.slice(at, at + columns);
    const values = row.map(([, value]) => flow.type.wrap(value, columnWidth - 10, SIZE.text));
    const lines = Math.max(...values.map((each) => each.length));
    const height = 10 + lines * 11 + 4;
    flow.need(Math.min(height, MAX_UNBROKEN));
    for (const [index, [label]] of row.entries()) {
      const x = LEFT + index * columnWidth;
      flow.canvas.text(label, x, flow.y + 7, { size: SIZE.tiny, colour: SOFT });
    }
    flow.y += 10;
    for (let line = 0; line < lines; line++) {
      flow.need(11);
      for (const [index, each] of values.entries()) {
        const { [line]: text } = each;
        if (text === undefined) continue;
        flow.canvas.text(text, LEFT + index * columnWidth, flow.y + 7, { size: SIZE.text });
      }
      flow.y += 11;
    }
    flow.y += 4;
  }
}
