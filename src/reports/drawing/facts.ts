/** Labels with their values, such as the job's owner and times. */
import { type Flow, LEFT } from "./flow.ts";
import { SIZE, SOFT } from "./theme.ts";

/** A row taller than this, in points, is broken across pages. */
const MAX_UNBROKEN = 600;
const LABEL = 10;
const LEADING = 11;

/** Labels with values in columns, row by row; long values continue on the next page. */
export function facts(
  flow: Flow,
  list: readonly (readonly [label: string, value: string])[],
  { columns, width }: { columns: number; width: number },
): void {
  const columnWidth = width / columns;
  for (let at = 0; at < list.length; at += columns) {
    const row = list.slice(at, at + columns).map(([label, value], index) => ({
      label,
      lines: flow.type.wrap(value, columnWidth - 10, SIZE.text),
      x: LEFT + index * columnWidth,
    }));
    const lines = Math.max(...row.map((each) => each.lines.length));
    const height = LABEL + lines * LEADING + 4;
    if (height > MAX_UNBROKEN) {
      long(flow, row, lines);
      continue;
    }
    flow.need(height);
    for (const { label, lines, x } of row) {
      flow.content("P", () => {
        flow.canvas.text(label, x, flow.y + 7, { size: SIZE.tiny, colour: SOFT });
        for (const [line, text] of lines.entries()) {
          const y = flow.y + LABEL + line * LEADING + 7;
          flow.canvas.text(text, x, y, { size: SIZE.text });
        }
      });
    }
    flow.y += height;
  }
}

interface Fact {
  label: string;
  lines: readonly string[];
  x: number;
}

/** A row that is broken across pages, line by line. */
function long(flow: Flow, row: readonly Fact[], lines: number): void {
  flow.need(LABEL + 3 * LEADING);
  flow.content("P", () => {
    for (const { label, x } of row) {
      flow.canvas.text(label, x, flow.y + 7, { size: SIZE.tiny, colour: SOFT });
    }
    flow.y += LABEL;
    for (let line = 0; line < lines; line++) {
      flow.need(LEADING);
      for (const { lines, x } of row) {
        const { [line]: text } = lines;
        if (text !== undefined) flow.canvas.text(text, x, flow.y + 7, { size: SIZE.text });
      }
      flow.y += LEADING;
    }
  });
  flow.y += 4;
}
