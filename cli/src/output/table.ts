import { pad, plain, widthOf } from "./text.ts";

export interface Column<Row> {
  title: string;
  of: (row: Row) => string | number | null | undefined;
}

const NUMBER = /^(?:-?[\d.,]+(?: ?%)?|–)$/;

/** Makes tables whose columns stay as wide as in the first call, for lists that come page by page. */
export function createTable<Row>(columns: readonly Column<Row>[]) {
  let widths: number[] | undefined;
  let isNumeric: boolean[] = [];
  return (rows: readonly Row[]): string[] => {
    const cells = rows.map((row) => columns.map((column) => cellOf(column.of(row))));
    const head = widths === undefined ? [columns.map(({ title }) => title)] : [];
    widths ??= columns.map((_, at) =>
      Math.max(...[...head, ...cells].map((line) => widthOf(line[at] ?? ""))),
    );
    if (head.length > 0) {
      isNumeric = columns.map(({ of }) => {
        const values = rows.map(of).filter((value) => value != null && value !== "");
        return values.length > 0 && values.every((value) => NUMBER.test(String(value)));
      });
    }
    const known = widths;
    return [...head, ...cells].map((line) =>
      line
        .map((cell, at) => pad(cell, known[at] ?? 0, at > 0 && isNumeric[at] === true))
        .join("  ")
        .trimEnd(),
    );
  };
}

/** A table at once. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  return createTable(columns)(rows);
}

/** One resource: a line for each field. */
export function fields(
  entries: readonly (readonly [string, string | number | null | undefined])[],
) {
  const width = Math.max(...entries.map(([name]) => widthOf(name)));
  return entries.map(([name, value]) => `${pad(name, width, false)}  ${cellOf(value)}`.trimEnd());
}

function cellOf(value: string | number | null | undefined): string {
  return value == null || value === "" ? "–" : plain(String(value));
}
