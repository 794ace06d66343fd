import { createHash } from "node:crypto";
import type { Context } from "hono";
import { MAX_PAGE, type Page } from "../api/lists.ts";
import { type Cursor, type KeysetOrder, type PageWindow, readFrom } from "../db/keyset.ts";
import type { RequestEnv } from "./context.ts";
import { type ApiError, invalidField } from "./errors.ts";
import { parameterOf } from "./query.ts";
import { siteOf } from "./site.ts";

/**
 * Sets `X-Total-Count` and `Link` (RFC 8288: first, prev, next, last) of a list. Links repeat the list's own
 * parameters alone; others may be long.
 */
export function announcePage<Env extends RequestEnv>(c: Context<Env>, page: Page): void {
  const url = new URL(c.req.url);
  const known: readonly string[] = c.get("parameters") ?? [];
  const sent = [...url.searchParams].flatMap(([name, value]) => {
    const parameter = parameterOf(name, known);
    return parameter === null ? [] : [[parameter, value]];
  });
  url.search = new URLSearchParams(sent).toString();
  c.header("X-Total-Count", String(page.total));
  c.header("Link", linksOf(url, page, siteOf(c) ?? ""));
}

/** Node reads 16 KiB of headers. Where long filters bring four links near it, two are sent. */
const MAX_LINK_LENGTH = 12_000;

/** Links to other pages: the list's own path on this site, with another `page` and `cursor`. */
function linksOf(list: URL, { page, perPage, total, neighbours }: Page, site: string): string {
  const { prev, next } = neighbours;
  const targets: [relation: string, page: number, cursor: string | null][] = [["first", 1, null]];
  // Pages of no items have neither neighbours nor an end.
  const lastPage = perPage === 0 ? 0 : Math.max(1, Math.ceil(total / perPage));
  if (page > 1 && lastPage > 0)
    targets.push(["prev", prev === null ? Math.min(page - 1, lastPage) : page - 1, prev]);
  // The cursor is exact; the total may have changed since.
  if (next !== null) targets.push(["next", Math.min(page + 1, MAX_PAGE), next]);
  if (lastPage > 0) targets.push(["last", lastPage, null]);
  const links = targets.map(([relation, target, cursor]) => {
    const url = new URL(list);
    url.searchParams.set("page", String(target));
    if (cursor === null) url.searchParams.delete("cursor");
    else url.searchParams.set("cursor", cursor);
    return `<${site}${url.pathname}${url.search}>; rel="${relation}"`;
  });
  const all = links.join(", ");
  if (all.length <= MAX_LINK_LENGTH || lastPage === 0) return all;
  return links.slice(1, -1).join(", ");
}

/** Enough to notice a changed cursor. A cursor gives access to nothing, so the check needs no secret. */
const CHECK_LENGTH = 8;

/** A cursor as clients carry it: opaque, and valid for the list with this name alone. */
export function encodeCursor({ relation, key }: Cursor, list: string): string {
  const parts = [relation, ...key];
  return Buffer.from(JSON.stringify([...parts, checkOf(parts, list)])).toString("base64url");
}

/**
 * Reads a cursor of this list, whose keys have these types. Throws 400 for a cursor of other filters or another
 * order, and for any other text.
 */
export function parseCursor(
  text: string,
  types: readonly ("string" | "number")[],
  list: string,
): Cursor {
  const [relation, ...key] = readParts(text).slice(0, -1);
  const fits = key.length === types.length && types.every((type, at) => typeof key[at] === type);
  if (!fits || (relation !== "after" && relation !== "before")) throw invalidCursor();
  const cursor: Cursor = { relation, key: key as (string | number)[] }; // just tested against `types`
  // Compares the whole text, since the last character of base64url has bits that are not read.
  if (encodeCursor(cursor, list) !== text) throw invalidCursor();
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

function invalidCursor(): ApiError {
  return invalidField(
    "cursor",
    "must be an unchanged cursor of this list, with the same order and filters",
  );
}

export interface PageOf<Row> extends Page {
  items: Row[];
}

/**
 * A page of a list by its number or its cursor, with cursors to its neighbours. Page 0 is the first; a page of no
 * items has no neighbours.
 *
 * @param read returns the rows, the total, and anything else that the page shows
 */
export async function readPage<Row, More extends object = object>(
  query: { page: number; per_page: number; cursor?: string | undefined },
  order: KeysetOrder<Row>,
  read: (window: PageWindow) => Promise<{ rows: Row[]; total: number } & More>,
): Promise<PageOf<Row> & Omit<More, "rows" | "total">> {
  const { page: number, per_page: perPage, cursor, ...rest } = query;
  const page = Math.max(1, number);
  const { columns, descending, endsInRowId = false, keyOf, list = JSON.stringify(rest) } = order;
  const types = columns.map(({ type }) => type);
  const from = cursor === undefined ? null : parseCursor(cursor, types, list);
  const ordering = { columns: columns.map(({ column }) => column), descending, endsInRowId };
  const { where, orderBy } = readFrom(ordering, from);
  const offset = from === null ? (page - 1) * perPage : 0;
  const window = { where, orderBy, limit: perPage === 0 ? 0 : perPage + 1, offset, from };
  const { rows, total, ...more } = await read(window);
  const items = rows.slice(0, perPage);
  const isBackward = from?.relation === "before";
  if (isBackward) items.reverse();
  const at = (relation: Cursor["relation"], row: Row | undefined) =>
    row === undefined ? null : encodeCursor({ relation, key: keyOf(row) }, list);
  // A page that was reached backwards is followed by the page it was reached from.
  const hasNext = isBackward || rows.length > perPage;
  return {
    ...more,
    items,
    page,
    perPage,
    total,
    neighbours: { prev: at("before", items[0]), next: hasNext ? at("after", items.at(-1)) : null },
  };
}
