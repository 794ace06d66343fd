/** Reads just enough of a source map to tell which part of a bundle came from which file. */

interface SourceMap {
  sources: string[];
  mappings: string;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

interface Segment {
  /** In the bundle, 0-based. */
  column: number;
  /** "" where nothing is mapped. */
  source: string;
  /** In the source, 0-based. */
  line: number;
}

/** The segments of each line of the bundle, in order. */
function decode(map: SourceMap): Segment[][] {
  let source = 0;
  let sourceLine = 0;
  return map.mappings.split(";").map((text) => {
    let column = 0;
    return (text === "" ? [] : text.split(",")).map((segment) => {
      const [columnStep = 0, sourceStep, lineStep = 0] = decodeVlq(segment);
      column += columnStep;
      // A segment of one number ends what was mapped.
      if (sourceStep === undefined) return { column, source: "", line: 0 };
      source += sourceStep;
      sourceLine += lineStep;
      return { column, source: map.sources[source] ?? "", line: sourceLine };
    });
  });
}

/** The text of a bundle by source; text without a source, such as the bundler's helpers, under "". */
export function textBySource(bundle: string, map: SourceMap): Map<string, string> {
  const parts = new Map<string, string[]>();
  const add = (source: string, text: string) => {
    const texts = parts.get(source);
    if (texts === undefined) parts.set(source, [text]);
    else texts.push(text);
  };
  const lines = bundle.split("\n");
  for (const [number, segments] of decode(map).entries()) {
    const line = `${lines[number] ?? ""}\n`;
    let current = "";
    let from = 0;
    for (const { column, source } of segments) {
      add(current, line.slice(from, column));
      from = column;
      current = source;
    }
    add(current, line.slice(from));
  }
  return new Map([...parts].map(([name, texts]) => [name, texts.join("")]));
}

/** Finds where a place in the bundle (0-based) comes from: source and its line (1-based), or null. */
export function createSourceLookup(map: SourceMap) {
  const lines = decode(map);
  return (line: number, column: number): { source: string; line: number } | null => {
    const segment = lines[line]?.findLast((each) => each.column <= column);
    return segment === undefined || segment.source === ""
      ? null
      : { source: segment.source, line: segment.line + 1 };
  };
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
