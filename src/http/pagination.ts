/** What stands beside the items of a wrapped list. */
import { z } from "@hono/zod-openapi";
import { integer } from "./schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;

export const pagination = z
  .strictObject({
    total: integer({ min: 0, max: MAX_COUNT, description: "Items on all pages.", example: 42 }),
    page: integer({ min: 1, max: 2 ** 31 - 1, description: "This page, from 1.", example: 1 }),
    per_page: integer({ min: 1, max: 300, description: "Items on a full page.", example: 20 }),
    total_pages: integer({ min: 0, max: MAX_COUNT, description: "Pages in all.", example: 3 }),
    has_next: z.boolean().openapi({ description: "Whether a page follows." }),
    has_prev: z.boolean().openapi({ description: "Whether a page precedes." }),
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
};

export function toPagination(total: number, page: number, perPage: number): PaginationWire {
  const totalPages = Math.ceil(total / perPage);
  return {
    total,
    page,
    per_page: perPage,
    total_pages: totalPages,
    has_next: page < totalPages,
    has_prev: page > 1,
  };
}
