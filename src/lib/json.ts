/**
 * JSON with sorted keys: equal values have equal texts, whatever the order of their keys.
 *
 * @param value a JSON value; undefined members are left out
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  if (!isObject(value)) return JSON.stringify(value ?? null);
  const members = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`);
  return `{${members.join()}}`;
}

/** Deep equality of JSON values; the order of keys makes no difference. */
export function sameJson(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other)) return false;
    return one.length === other.length && one.every((inner, at) => sameJson(inner, other[at]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && sameJson(one[key], other[key]))
  );
}

/** True for a JSON object, and not for a list. */
export function isObject(value: unknown): value is { [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Members of all objects in a JSON value, at any depth. */
export function countMembers(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const inner = Object.values(value);
  return inner.reduce<number>(
    (sum, each) => sum + countMembers(each),
    Array.isArray(value) ? 0 : inner.length,
  );
}

/** The value of a member, as written in a JSON text. */
export interface WrittenMember {
  text: string;
  /** Members of all objects in it. Repeated keys count, so it can exceed `countMembers` of the parsed value. */
  members: number;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/**
 * Finds the value of a member of the outermost object. The last of repeated keys wins, as with `JSON.parse`.
 *
 * @param text valid JSON of an object
 */
export function findMember(text: string, name: string): WrittenMember | null {
  let member: WrittenMember | null = null;
  /** The member of the outermost object that is being read; null between two members. */
  let current: { start: number; members: number } | null = null;
  let key = "";
  let depth = 0;
  const endMember = (at: number) => {
    if (current !== null && JSON.parse(key) === name) {
      member = { text: text.slice(current.start, at).trim(), members: current.members };
    }
    current = null;
  };
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = closingQuote(text, at);
        if (current === null) key = text.slice(at, end + 1);
        at = end;
        break;
      }
      case COLON:
        if (current === null) current = { start: at + 1, members: 0 };
        else current.members++;
        break;
      case OPENING_BRACE:
      case OPENING_BRACKET:
        depth++;
        break;
      case CLOSING_BRACE:
      case CLOSING_BRACKET:
        depth--;
        if (depth === 0) endMember(at);
        break;
      case COMMA:
        if (depth === 1) endMember(at);
        break;
    }
  }
  return member;
}

/** The end of a string in a JSON text; the end of the text where it is missing. */
export function closingQuote(text: string, opening: number): number {
  for (let at = text.indexOf('"', opening + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return text.length;
}

const encoder = new TextEncoder();

export function utf8Bytes(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The length of a text in bytes of UTF-8. */
export function utf8Length(text: string): number {
  return encoder.encode(text).byteLength;
}

/** Rows as JSON arrays of about `maxBytes` at most, for statements that take one parameter; a longer row is alone. */
export function jsonChunks(rows: readonly object[], maxBytes: number): string[] {
  const texts: string[] = [];
  let items: string[] = [];
  let bytes = 0;
  for (const text of rows.map((row) => JSON.stringify(row))) {
    const size = utf8Length(text);
    if (bytes + size > maxBytes && items.length > 0) {
      texts.push(`[${items.join()}]`);
      items = [];
      bytes = 0;
    }
    items.push(text);
    bytes += size;
  }
  return items.length === 0 ? texts : [...texts, `[${items.join()}]`];
}
