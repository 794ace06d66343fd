/** JSON that is passed on as it was stored, without being parsed and built again: results can be large. */
class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** Its place in the text that is being made. */
  toJSON(): string {
    if (making === null) throw new Error("Stored JSON is written by stringifyWithRaw alone");
    return `${making.mark}${making.parts.push(this.text) - 1}`;
  }
}

/** What `stringifyWithRaw` is about to find; it is synchronous, so that there is one at a time. */
let making: { mark: string; parts: string[] } | null = null;

/** Marks stored JSON of an object for `stringifyWithRaw`; typed as what it stands for. */
export function rawJson(text: string): Record<string, unknown> {
  // Only `stringifyWithRaw` ever looks inside.
  return new RawJson(text) as unknown as Record<string, unknown>;
}

/** JSON of a value in which `rawJson` parts appear as their stored text. */
export function stringifyWithRaw(value: unknown): string {
  const mark = `raw:${crypto.randomUUID()}:`;
  const parts: string[] = [];
  making = { mark, parts };
  let template: string;
  try {
    template = JSON.stringify(value);
  } finally {
    making = null;
  }
  if (parts.length === 0) return template;
  const [head = "", ...rest] = template.split(`"${mark}`);
  const pieces = rest.map(
    (piece, index) => (parts[index] ?? "") + piece.slice(piece.indexOf('"') + 1),
  );
  return head + pieces.join("");
}
