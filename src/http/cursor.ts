import type { Cursor } from "../db/keyset.ts";
import { type ApiError, invalidField } from "./errors.ts";

/** The longest that any list hands out is about half as long. */
export const MAX_CURSOR_LENGTH = 512;

/** A cursor as clients carry it: opaque to them. With the name of the list where it must fit no other. */
export function encodeCursor({ relation, key }: Cursor, list?: string): string {
  const named = list === undefined ? [] : [list];
  return Buffer.from(JSON.stringify([relation, ...named, ...key])).toString("base64url");
}

/**
 * Reads a cursor that a list with a key of these types has handed out. Throws 400 for any other: it
 * belongs to another order, or to no list at all.
 */
export function parseCursor(
  text: string,
  types: readonly ("string" | "number")[],
  list?: string,
): Cursor {
  const [relation, ...rest] = parts(text);
  if (list !== undefined && rest[0] !== list) throw notOurs();
  const key = list === undefined ? rest : rest.slice(1);
  const fits = key.length === types.length && types.every((type, at) => typeof key[at] === type);
  if (!fits || (relation !== "after" && relation !== "before")) throw notOurs();
  return { relation, key: key as (string | number)[] }; // just tested against `types`
}

function parts(text: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

function notOurs(): ApiError {
  return invalidField("cursor", "cursor must be one from a Link of this list, in the same order");
}
