import { z } from "@hono/zod-openapi";
import { MAX_CURSOR_LENGTH } from "./cursor.ts";
import { MAX_PAGE } from "./paging.ts";
import { queryBoolean, queryInteger, queryText, queryWord } from "./query-schemas.ts";

/** A search considers at most this many matches. */
export const MAX_SEARCH_MATCHES = 1_000;
/** Shorter patterns have no trigram for the index to find. */
export const INDEXED_SEARCH_LENGTH = 3;

/** Four links with both filters stay below the 16 KiB of headers that Node reads. */
const FILTER_LENGTH = 128;

/** `page` and `cursor`, as every list that can be walked along its links takes them. */
export function pageParameters(perPage: { max: number; default: number }) {
  return {
    page: queryInteger({
      min: 1,
      max: MAX_PAGE,
      default: 1,
      description:
        "Page number, from 1. Jumping to a page costs as much as reading all before it; the `next` and `prev` links of a page cost the same at any depth.",
    }),
    per_page: queryInteger({ min: 1, ...perPage, description: "Items per page." }),
    cursor: queryWord({
      pattern: /^[A-Za-z0-9_-]+$/,
      max: MAX_CURSOR_LENGTH,
      description:
        "Where to read on, from a `Link` of this list: opaque, and valid for the same order and filters. With it, `page` only numbers the links.",
    }),
  };
}

/** `name` and `search`, for lists of things that have a name, a slug and a UUID. */
export function nameParameters(kind: string) {
  return {
    name: queryText({
      max: FILTER_LENGTH,
      description: `Only ${kind} with exactly this name; case matters. An empty one is as absent.`,
      example: "H100 node",
    }),
    search: queryText({
      max: FILTER_LENGTH,
      description: `Only ${kind} whose name, slug or UUID contains this text, without regard to the case of ASCII letters; no sign is a wildcard. An empty one is as absent. A search considers the ${MAX_SEARCH_MATCHES.toLocaleString("en")} newest matches, and \`X-Total-Count\` counts among these. Less than ${INDEXED_SEARCH_LENGTH} characters are looked for in all ${kind}, which takes longer the more there are.`,
      example: "h100",
    }),
  };
}

const orderParameters = {
  sort: z
    .enum(["name", "created"], "must be name or created, given once")
    .default("name")
    .openapi({ description: "What to sort by; names by bytes. Equal ones go by creation." }),
  direction: z
    .enum(["asc", "desc"], "must be asc or desc, given once")
    .default("asc")
    .openapi({ description: "Which way to sort." }),
};

/** The query of every `/v0` list (contract §5). */
export function listQuery(kind: string) {
  return z.object({
    ...pageParameters({ max: 255, default: 8 }),
    ...orderParameters,
    archived: queryBoolean({
      default: false,
      description: `Whether to list archived ${kind}, too.`,
    }),
    ...nameParameters(kind),
  });
}

/** What such a list is asked for. Filters combine. */
export type ListQuery = z.infer<ReturnType<typeof listQuery>>;

/**
 * The query of `/v0` lists of what is never archived, and searched without an index.
 *
 * @param searched what `search` looks into, such as `name or UUID`
 */
export function namedListQuery(kind: string, searched: string, example: string) {
  return z.object({
    ...pageParameters({ max: 255, default: 8 }),
    ...orderParameters,
    name: queryText({
      max: FILTER_LENGTH,
      description: `Only ${kind} with exactly this name; case matters. An empty one is as absent.`,
      example,
    }),
    search: queryText({
      max: FILTER_LENGTH,
      description: `Only ${kind} whose ${searched} contains this text, without regard to the case of ASCII letters; no sign is a wildcard. An empty one is as absent. All that the caller sees are looked at and counted, so it takes longer the more there are.`,
      example: example.toLowerCase(),
    }),
  });
}

/** What such a list is asked for. Filters combine. */
export type NamedListQuery = z.infer<ReturnType<typeof namedListQuery>>;
