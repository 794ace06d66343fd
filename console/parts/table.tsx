/** Tables that become cards on a narrow screen. The roles stay where a style takes the table's own away. */
import type { ComponentChildren, Key } from "preact";

export interface Column<Row> {
  /** Heads the column; on a narrow screen it stands before each value. */
  title: string;
  /** In place of the title, such as a box that chooses all rows. */
  head?: ComponentChildren;
  cell: (row: Row, index: number) => ComponentChildren;
  isNumber?: boolean;
  /** The cell that names its row. */
  isName?: boolean;
  /** Without a title of its own on a narrow screen. */
  isBare?: boolean;
}

interface TableProps<Row> {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => Key;
  rowClass?: (row: Row) => string;
}

export function Table<Row>({ label, columns, rows, keyOf, rowClass }: TableProps<Row>) {
  return (
    <div class="table-wrap">
      {/* biome-ignore lint/a11y/noRedundantRoles: cards take the roles away */}
      <table role="table" aria-label={label}>
        <thead>
          {/* biome-ignore lint/a11y/noRedundantRoles: cards take the roles away */}
          <tr role="row">
            {columns.map(({ title, head, isNumber }) => (
              // biome-ignore lint/a11y/noRedundantRoles: cards take the roles away
              <th key={title} role="columnheader" scope="col" class={isNumber ? "number" : ""}>
                {head ?? title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            // biome-ignore lint/a11y/noRedundantRoles: cards take the roles away
            <tr key={keyOf(row)} role="row" class={rowClass?.(row) ?? ""}>
              {columns.map((column) => (
                <Cell key={column.title} column={column} row={row} index={index} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell<Row>({ column, row, index }: { column: Column<Row>; row: Row; index: number }) {
  const { title, cell, isNumber, isName, isBare } = column;
  const props = { class: isNumber ? "number" : "", "data-title": isBare ? undefined : title };
  return isName ? (
    // biome-ignore lint/a11y/noRedundantRoles: cards take the roles away
    <th scope="row" role="rowheader" {...props}>
      {cell(row, index)}
    </th>
  ) : (
    // biome-ignore lint/a11y/noRedundantRoles: cards take the roles away
    <td role="cell" {...props}>
      {cell(row, index)}
    </td>
  );
}
