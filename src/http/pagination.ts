/** What stands beside the items of a wrapped list. */
import { z } from "@hono/zod-openapi";
import { MAX_CURSOR_LENGTH } from "./cursor.ts";
import { MAX_PAGE, type Neighbours, type Page } from "./paging.ts";
import { integer, word } from "./schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;

export const nextCursor = word({
  pattern: /^[A-Za-z0-9_-]+$/,
  max: MAX_CURSOR_LENGTH,
  description: "Where the next page begins, as `cursor`; null on the last one.",
}).nullable();

export const pagination = z
  .strictObject({
    total: integer({ min: 0, max: MAX_COUNT, description: "Items on all pages.", example: 42 }),
    page: integer({ min: 1, max: MAX_PAGE, description: "This page, from 1.", example: 1 }),
    per_page: integer({ min: 1, max: 300, description: "Items on a full page.", example: 20 }),
    total_pages: integer({ min: 0, max: MAX_COUNT, description: "Pages in all.", example: 3 }),
    has_next: z.boolean().openapi({ description: "Whether a page follows." }),
    has_prev: z.boolean().openapi({ description: "Whether a page precedes." }),
    next_cursor: nextCursor,
  })
  .openapi("Pagination", { description: "Where this page stands in the whole list." });

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

export function toPagination({
  page,
  perPage,
  total,
  neighbours: { next },
}: Page & { neighbours: Neighbours }): PaginationWire {
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
