import { createHash } from "node:crypto";
import type { Cursor } from "../db/keyset.ts";
import { type ApiError, invalidField } from "./errors.ts";

/** The longest that any list hands out is about half as long. */
export const MAX_CURSOR_LENGTH = 512;

/** Enough to notice a slip or a change; a cursor opens nothing that its bearer may not see anyway. */
const CHECK_LENGTH = 8;

/** A cursor as clients carry it: opaque to them. `list` names the list, which is the only one it fits. */
export function encodeCursor({ relation, key }: Cursor, list: string): string {
  const parts = [relation, ...key];
  return Buffer.from(JSON.stringify([...parts, checkOf(parts, list)])).toString("base64url");
}

/**
 * Reads a cursor that this list, with a key of these types, has handed out. Throws 400 for any other: it
 * belongs to other filters or another order, was changed on its way, or never came from a list.
 */
export function parseCursor(
  text: string,
  types: readonly ("string" | "number")[],
  list: string,
): Cursor {
  const [relation, ...key] = readParts(text).slice(0, -1);
  const fits = key.length === types.length && types.every((type, at) => typeof key[at] === type);
  if (!fits || (relation !== "after" && relation !== "before")) throw notOurs();
  const cursor: Cursor = { relation, key: key as (string | number)[] }; // just tested against `types`
  // The whole text, not its check alone: the last sign of base64url has bits that are not read.
  if (encodeCursor(cursor, list) !== text) throw notOurs();
  return cursor;
}

function checkOf(parts: readonly unknown[], list: string): string {
  const text = JSON.stringify([list, ...parts]);
  return createHash("sha256").update(text).digest("base64url").slice(0, CHECK_LENGTH);
}

function readParts(text: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

function notOurs(): ApiError {
  return invalidField(
    "cursor",
    "cursor must be one that this list has handed out, unchanged, with the same order and filters",
  );
}
