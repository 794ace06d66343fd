import { utf8Bytes } from "../lib/json.ts";

/** A part of stored bytes: JSON text that is copied into a reply without being held or parsed. */
export interface Hole {
  /** Offset in the source, bytes. Holes are filled in rising order. */
  at: number;
  bytes: number;
  /** Turns the stored bytes into the text that is shown, which holds them in memory; by default they are copied. */
  show?: (stored: string) => string;
}

/** Text that is made while the reply is sent, when the client wants it. */
export interface Later {
  later(): AsyncIterable<string>;
  /** The texts that it is made of: an entity tag is made of them instead. */
  madeOf?: readonly string[];
}

/** A piece of JSON text: text, bytes in memory, a hole to be filled from a source, or text that is made later. */
export type Piece = string | Uint8Array | Hole | Later;

/** Stored JSON that is passed on unparsed, since results can be too large to parse and build again. */
class RawJson {
  readonly pieces: readonly Piece[];

  constructor(pieces: readonly Piece[]) {
    this.pieces = pieces;
  }

  /** Writes a mark into the text that is being made. */
  toJSON(): string {
    if (making === null) throw new Error("Stored JSON is written by `piecesOf` alone");
    return `${making.mark}${making.parts.push(this.pieces) - 1}`;
  }
}

/** State of the running `piecesOf`, which is synchronous: only one runs at a time. */
let making: { mark: string; parts: (readonly Piece[])[] } | null = null;

/** Marks stored JSON for `piecesOf`; typed as the value of that JSON, an object or a list. */
export function rawJson<Value = Record<string, unknown>>(...pieces: readonly Piece[]): Value {
  // Only `piecesOf` ever looks inside.
  return new RawJson(pieces) as unknown as Value;
}

/** JSON of a value, in pieces: the `rawJson` parts as they are, and the text between them. */
export function piecesOf(value: unknown): Piece[] {
  const mark = `raw:${crypto.randomUUID()}:`;
  const parts: (readonly Piece[])[] = [];
  making = { mark, parts };
  let template: string;
  try {
    template = JSON.stringify(value);
  } finally {
    making = null;
  }
  const [head = "", ...rest] = template.split(`"${mark}`);
  return [
    head,
    ...rest.flatMap((text, index) => [...(parts[index] ?? []), text.slice(text.indexOf('"') + 1)]),
  ];
}

/** Shorter texts stay texts. */
const PACKED_LENGTH = 8_192;

/**
 * A list whose items are written one by one: the text of all of them would take twice its length while it grows. Beyond
 * Latin-1 it has two bytes a character, most of which take one in UTF-8.
 */
export function rawList<Item extends object>(items: readonly Item[]): Item[] {
  const pack = (piece: Piece) =>
    typeof piece === "string" && piece.length > PACKED_LENGTH ? utf8Bytes(piece) : piece;
  const pieces = items.flatMap((item, at) => {
    const own = piecesOf(item).map(pack);
    return at === 0 ? own : [",", ...own];
  });
  return rawJson<Item[]>("[", ...pieces, "]");
}
