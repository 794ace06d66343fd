/** Reads just enough of a source map to tell which part of a bundle came from which file. */

interface SourceMap {
  sources: string[];
  mappings: string;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The text of a bundle by source; text without a source, such as the bundler's helpers, under "". */
export function textBySource(bundle: string, map: SourceMap): Map<string, string> {
  const parts = new Map<string, string[]>();
  const add = (source: string, text: string) => {
    const known = parts.get(source);
    if (known === undefined) parts.set(source, [text]);
    else known.push(text);
  };
  const lines = bundle.split("\n");
  let source = 0;
  for (const [number, segments] of map.mappings.split(";").entries()) {
    const line = `${lines[number] ?? ""}\n`;
    let column = 0;
    let current = "";
    let from = 0;
    for (const segment of segments === "" ? [] : segments.split(",")) {
      const [columnStep = 0, sourceStep] = decodeVlq(segment);
      column += columnStep;
      add(current, line.slice(from, column));
      from = column;
      // A segment of one number ends what was mapped.
      if (sourceStep !== undefined) source += sourceStep;
      current = sourceStep === undefined ? "" : (map.sources[source] ?? "");
    }
    add(current, line.slice(from));
  }
  return new Map([...parts].map(([name, texts]) => [name, texts.join("")]));
}

/** Base64 variable-length quantities (ECMA-426 §6.2). */
function decodeVlq(text: string): number[] {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const digit of text) {
    const bits = DIGITS.indexOf(digit);
    value += (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    value = 0;
    shift = 0;
  }
  return numbers;
}
