/** Queries of lists, and the pagination beside their items. */
import { z } from "@hono/zod-openapi";
import { INDEXED_SEARCH_LENGTH, MAX_SEARCH_MATCHES } from "../db/named-search.ts";
import { queryBoolean, queryInteger, queryPatternText, queryText } from "./query-parameters.ts";
import { integer, patternText } from "./schemas.ts";

/** The highest number of a page. */
export const MAX_PAGE = 2 ** 31 - 1;

/** The longest cursor that any list hands out is about half as long. */
export const MAX_CURSOR_LENGTH = 512;

/** Four links with both filters stay below the 16 KiB of headers that Node reads. */
const FILTER_LENGTH = 128;

const PAGE =
  "Page number, from 1. A jump to a page costs as much as reading all pages before it; the links `next` and `prev` cost the same at any depth.";

/**
 * `page`, `per_page` and `cursor`, for every list that has links to its pages.
 *
 * @param perPage `min`: 0 for lists where 0 items are an empty page, and page 0 is the first (docs/contract.md)
 */
export function pageParameters(perPage: { min?: 0 | 1; max: number; default: number }) {
  const { min = 1 } = perPage;
  const zero = min === 0 ? " 0 is the first page, too." : "";
  const none = min === 0 ? " 0 gives an empty page, with its total." : "";
  return {
    page: queryInteger({ min, max: MAX_PAGE, default: 1, description: PAGE + zero }),
    per_page: queryInteger({ ...perPage, min, description: `Items per page.${none}` }),
    cursor: queryPatternText({
      pattern: /^[A-Za-z0-9_-]+$/,
      max: MAX_CURSOR_LENGTH,
      description:
        "Position to read from, taken from a `Link` of this list: opaque, and valid for the same order and filters. With a cursor, `page` only numbers the links.",
    }),
  };
}

/** `name` and `search`, for lists of things that have a name, a slug and a UUID. */
export function nameParameters(kind: string) {
  return {
    name: queryText({
      isName: true,
      max: FILTER_LENGTH,
      description: `Only ${kind} with exactly this name; case-sensitive. An empty value is ignored.`,
      example: "H100 node",
    }),
    search: queryText({
      isName: true,
      max: FILTER_LENGTH,
      description: `Only ${kind} whose name, slug or UUID contains this text, without regard to the case of ASCII letters. No wildcards; an empty value is ignored. A search considers the ${MAX_SEARCH_MATCHES.toLocaleString("en")} newest matches, and \`X-Total-Count\` counts only these. A search for fewer than ${INDEXED_SEARCH_LENGTH} characters reads all ${kind}.`,
      example: "h100",
    }),
  };
}

/** Pages of `/v0` lists. */
export const V0_PAGES = { min: 0, max: 255, default: 8 } as const;

/** @param ties the order of equal names */
function orderParameters(ties: string) {
  return {
    sort: z
      .enum(["name", "created"], "must be name or created, given once")
      .default("name")
      .openapi({ description: `Sort key. Names are compared by bytes; ${ties}.` }),
    direction: z.enum(["asc", "desc"], "must be asc or desc, given once").optional().openapi({
      description:
        "Sort direction. By default `asc` for `name`, and `desc`, newest first, for `created`.",
    }),
  };
}

/** Each order has a direction of its own. */
function withDirection<Query extends { sort: "name" | "created"; direction?: Direction }>(
  query: Query,
) {
  const { sort, direction = sort === "created" ? "desc" : "asc" } = query;
  return { ...query, direction };
}

type Direction = "asc" | "desc" | undefined;

/**
 * The query of `/v0` lists whose items can be archived and are searched by an index.
 *
 * @param options `isWhole`: without parameters the list is one page of all items, archived ones too
 */
export function listQuery(kind: string, { isWhole = false } = {}) {
  return z
    .object({
      ...pageParameters(isWhole ? { ...V0_PAGES, default: V0_PAGES.max } : V0_PAGES),
      ...orderParameters("equal ones are ordered by slug"),
      archived: queryBoolean({
        default: isWhole,
        description: `Include archived ${kind}.`,
      }),
      ...nameParameters(kind),
    })
    .transform(withDirection);
}

export type ListQuery = z.infer<ReturnType<typeof listQuery>>;

/**
 * The query of `/v0` lists whose items are never archived, and are searched without an index.
 *
 * @param searched the searched fields, such as `name or UUID`
 */
export function namedListQuery(kind: string, searched: string, example: string) {
  const parameters = namedListParameters(kind, searched, example);
  return z
    .object({ ...parameters, ...orderParameters("equal ones are ordered by slug") })
    .transform(withDirection);
}

/** As `namedListQuery`, for things without a slug that end: `revoked` lists those. */
export function credentialListQuery(kind: string, example: string) {
  return z
    .object({
      ...namedListParameters(kind, "name or UUID", example),
      ...orderParameters("equal ones are ordered by creation"),
      revoked: queryBoolean({
        default: false,
        description: `True lists only revoked ${kind} alone: the newest 1,000 of the last 30 days.`,
      }),
    })
    .transform(withDirection);
}

export type CredentialListQuery = z.infer<ReturnType<typeof credentialListQuery>>;

function namedListParameters(kind: string, searched: string, example: string) {
  return {
    ...pageParameters(V0_PAGES),
    name: queryText({
      isName: true,
      max: FILTER_LENGTH,
      description: `Only ${kind} with exactly this name; case-sensitive. An empty value is ignored.`,
      example,
    }),
    search: queryText({
      isName: true,
      max: FILTER_LENGTH,
      description: `Only ${kind} whose ${searched} contains this text, without regard to the case of ASCII letters. No wildcards; an empty value is ignored. A search reads all ${kind} that the caller sees.`,
      example: example.toLowerCase(),
    }),
  };
}

export type NamedListQuery = z.infer<ReturnType<typeof namedListQuery>>;

/** The place of a page in its list. */
export interface Page {
  page: number;
  perPage: number;
  total: number;
  neighbours: Neighbours;
}

/** Opaque cursors of the previous and the next page; null where the list has no such page. */
export interface Neighbours {
  prev: string | null;
  next: string | null;
}

const MAX_COUNT = Number.MAX_SAFE_INTEGER;

export const nextCursor = patternText({
  pattern: /^[A-Za-z0-9_-]+$/,
  max: MAX_CURSOR_LENGTH,
  description: "The `cursor` of the next page; null on the last page.",
}).nullable();

export const pagination = z
  .strictObject({
    total: integer({
      min: 0,
      max: MAX_COUNT,
      description: "Number of items on all pages.",
      example: 42,
    }),
    page: integer({
      min: 1,
      max: MAX_PAGE,
      description: "Number of this page, from 1.",
      example: 1,
    }),
    per_page: integer({ min: 1, max: 300, description: "Items on a full page.", example: 20 }),
    total_pages: integer({ min: 0, max: MAX_COUNT, description: "Number of pages.", example: 3 }),
    has_next: z.boolean().openapi({ description: "True if another page follows." }),
    has_prev: z.boolean().openapi({ description: "True if another page precedes." }),
    next_cursor: nextCursor,
  })
  .openapi("Pagination", { description: "The position of this page in the list." });

export type PaginationWire = z.infer<typeof pagination>;

export const paginationExample: PaginationWire = {
  total: 42,
  page: 1,
  per_page: 20,
  total_pages: 3,
  has_next: true,
  has_prev: false,
  next_cursor: "WyJhZnRlciIsNzU1NDYyMTQ0MCwiM2s5UWZfMVoiXQ",
};

export function toPagination({ page, perPage, total, neighbours: { next } }: Page): PaginationWire {
  return {
    total,
    page,
    per_page: perPage,
    total_pages: Math.ceil(total / perPage),
    has_next: next !== null,
    has_prev: page > 1,
    next_cursor: next,
  };
}
