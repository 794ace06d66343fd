import type { Align, Canvas, Colour } from "./canvas.ts";
import { type Flow, LEFT } from "./flow.ts";
import { FAINT, INK, RULE, SIZE, SOFT } from "./theme.ts";
import type { Face } from "./typeface.ts";
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
  /** Draws the cell's content itself; `alt` says in words what it shows, if no other cell does. */
  | {
      draw: (canvas: Canvas, x: number, y: number, width: number, height: number) => void;
      alt?: string;
    };

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
  style: TableStyle = {},
): void {
  const writer = new TableWriter(flow, columns, style);
  flow.group("Table", () => writer.write(rows), writer.hasRoom);
  writer.end();
}

class TableWriter {
  readonly #flow: Flow;
  readonly #columns: readonly Column[];
  readonly #left: number;
  readonly #width: number;
  readonly #size: number;
  readonly #leading: number;
  readonly #padding: number;
  #characters: number;
  #isFirst = true;
  #omitted = 0;

  constructor(
    flow: Flow,
    columns: readonly Column[],
    { dense = false, indent = 0, maxCharacters = Number.POSITIVE_INFINITY }: TableStyle,
  ) {
    this.#flow = flow;
    this.#columns = columns;
    this.#left = LEFT + indent;
    this.#width = columns.reduce((sum, column) => sum + column.width, 0);
    this.#size = dense ? SIZE.dense : SIZE.small;
    this.#leading = dense ? 9.2 : 10.6;
    this.#padding = dense ? 0 : 2;
    this.#characters = Math.min(maxCharacters, flow.type.charactersLeft / 2);
  }

  /** Whether another row still fits into the bound of tagged elements. */
  get hasRoom(): boolean {
    return this.#flow.structure.hasRoom(this.#columns.length + 1);
  }

  write(rows: Iterable<Row>): void {
    const flow = this.#flow;
    let pendingGroup: GroupRow | null = null;
    for (const row of rows) {
      if ("group" in row) {
        pendingGroup = row;
        continue;
      }
      if (this.#characters <= 0) {
        this.#omitted++;
        continue;
      }
      const cells = row.map((cell, at) => this.#linesOf(cell, this.#columns[at]));
      const shown = cells.reduce((sum, lines) => sum + lengthOf(lines), 0);
      this.#characters -= shown;
      flow.type.charactersLeft -= shown;
      const lines = cells.reduce((most, cell) => Math.max(most, cell?.length ?? 1), 1);
      const height = lines * this.#leading + this.#padding;
      if (pendingGroup !== null) {
        this.#begin(height + 14);
        this.#writeGroup(pendingGroup);
        pendingGroup = null;
      }
      // The lines of a row taller than a page continue on the next page.
      this.#begin(height <= MAX_UNBROKEN ? height : this.#leading * 3);
      this.#writeRow(row, cells, lines);
    }
  }

  /** Says below the table how many rows it left out. */
  end(): void {
    if (this.#omitted > 0) {
      const style = { size: SIZE.small, colour: SOFT };
      this.#flow.paragraph(`and ${count(this.#omitted, "more row")}, not shown`, style);
    }
    this.#flow.y += 4;
  }

  #begin(height: number): void {
    const flow = this.#flow;
    if (this.#isFirst) {
      flow.need(28 + height);
      this.#isFirst = false;
      flow.group("TR", () => this.#writeHeadings(true));
    } else if (flow.room < height) this.#continue();
  }

  #continue(): void {
    this.#flow.newPage();
    this.#writeHeadings(false);
  }

  /** @param isTagged false for headings that are repeated on another page */
  #writeHeadings(isTagged: boolean): void {
    const flow = this.#flow;
    const hasUnits = this.#columns.some(({ unit }) => unit !== undefined);
    const first = flow.y + 9;
    let x = this.#left;
    for (const { title, unit, width, align = "left" } of this.#columns) {
      const at = edge(x, width, align);
      const draw = () => {
        flow.canvas.text(title, at, first, { size: SIZE.tiny, face: "bold", align });
        if (unit === undefined) return;
        flow.canvas.text(unit, at, first + 7.5, { size: SIZE.tiny, colour: SOFT, align });
      };
      if (isTagged) flow.content("TH", draw);
      else draw();
      x += width;
    }
    flow.y += hasUnits ? 21 : 13.5;
    const right = this.#left + this.#width;
    flow.canvas.line([this.#left, flow.y], [right, flow.y], { colour: RULE, line: 0.7 });
    flow.y += 1;
  }

  #writeGroup({ group }: GroupRow): void {
    const flow = this.#flow;
    const style = { size: SIZE.small, face: "bold" as const, maxWidth: this.#width };
    flow.group("TR", () =>
      flow.content("TH", () => flow.canvas.text(group, this.#left, flow.y + 10, style)),
    );
    flow.y += 13.5;
  }

  #linesOf(cell: Cell, column: Column | undefined) {
    if (column === undefined || (typeof cell === "object" && "draw" in cell)) return null;
    const { text, face } = typeof cell === "string" ? { text: cell, face: undefined } : cell;
    return this.#flow.type.wrap(text, column.width - GAP, this.#size, face);
  }

  /** As many lines of the row on each page as fit. */
  #writeRow(row: readonly Cell[], cells: readonly (readonly string[] | null)[], lines: number) {
    const flow = this.#flow;
    const isTagged = this.hasRoom;
    for (let from = 0; from < lines; ) {
      const fitting = Math.floor((flow.room - this.#padding + 0.01) / this.#leading);
      if (fitting < 1) {
        this.#continue();
        continue;
      }
      const to = Math.min(lines, from + fitting);
      const begin = from;
      flow.group("TR", () => this.#writeCells(row, cells, begin, to), isTagged);
      flow.y += (to - from) * this.#leading;
      from = to;
    }
    flow.y += this.#padding;
    const right = this.#left + this.#width;
    flow.canvas.line([this.#left, flow.y], [right, flow.y], { colour: FAINT, line: 0.4 });
  }

  #writeCells(
    row: readonly Cell[],
    cells: readonly (readonly string[] | null)[],
    from: number,
    to: number,
  ): void {
    const flow = this.#flow;
    let x = this.#left;
    for (const [at, { width, align = "left" }] of this.#columns.entries()) {
      const cell = row[at];
      const left = x;
      x += width;
      if (typeof cell === "object" && "draw" in cell) {
        const { draw, alt } = cell;
        const paint = () => draw(flow.canvas, left, flow.y + 1, width - GAP, this.#leading);
        if (from === 0 && alt === undefined) paint();
        flow.content("TD", from === 0 && alt !== undefined ? paint : () => {}, alt);
        continue;
      }
      const { face = "regular", colour = INK } = styleOf(cell);
      const size = this.#size;
      const lines = cells[at]?.slice(from, to) ?? [];
      flow.content("TD", () => {
        for (const [line, text] of lines.entries()) {
          if (text === "") continue;
          const y = flow.y + line * this.#leading + size + this.#padding / 2 + 0.6;
          flow.canvas.text(text, edge(left, width, align), y, { size, align, face, colour });
        }
      });
    }
  }
}

function lengthOf(lines: readonly string[] | null): number {
  return lines === null ? 0 : lines.reduce((sum, line) => sum + line.length, 0);
}

const PLAIN: { face?: Face; colour?: Colour } = {};

function styleOf(cell: Cell | undefined): { face?: Face; colour?: Colour } {
  return typeof cell === "object" && "text" in cell ? cell : PLAIN;
}

function edge(x: number, width: number, align: Align): number {
  return align === "left" ? x : align === "right" ? x + width - GAP : x + (width - GAP) / 2;
}
