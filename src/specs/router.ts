import { toPagination } from "../api/lists.ts";
import { readIfMatch, versionTag } from "../http/entity-tag.ts";
import { readIdempotencyKey } from "../http/idempotency.ts";
import { announcePage } from "../http/paging.ts";
import { changed, created, empty, list, single } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { originOf } from "../identity/origin.ts";
import {
  createSpecRoute,
  deleteSpecRoute,
  getSpecRoute,
  listCatalogueRoute,
  listSpecsRoute,
  updateSpecRoute,
} from "./contract.ts";
import type { SpecsService } from "./service.ts";
import { toCatalogueEntry, toSpec } from "./wire.ts";

export const specsRoutes = ({ specs }: { specs: SpecsService }) => [
  serve(listSpecsRoute, async (c) => {
    const page = await specs.list(c.get("databases").session, c.req.valid("query"));
    return list(c, page, page.items.map(toSpec));
  }),

  serve(createSpecRoute, async (c) => {
    const input = c.req.valid("json");
    const key = readIdempotencyKey(c, input);
    const { session } = c.get("databases");
    const { spec, replayed } = await specs.create(session, originOf(c), input, key);
    return created(c, toSpec(spec), { replayed, etag: versionTag(spec) });
  }),

  serve(getSpecRoute, async (c) => {
    const row = await specs.view(c.get("databases").session, c.req.valid("param").spec);
    return single(c, toSpec(row), versionTag(row));
  }),

  serve(updateSpecRoute, async (c) => {
    const { spec } = c.req.valid("param");
    const input = c.req.valid("json");
    const { session } = c.get("databases");
    const row = await specs.update(session, originOf(c), spec, readIfMatch(c), input);
    return changed(c, toSpec(row), versionTag(row));
  }),

  serve(deleteSpecRoute, async (c) => {
    const { spec } = c.req.valid("param");
    await specs.remove(c.get("databases").session, originOf(c), spec, readIfMatch(c));
    return empty(c);
  }),

  serve(listCatalogueRoute, async (c) => {
    const query = {
      ...c.req.valid("query"),
      sort: "name",
      direction: "asc",
      archived: false,
    } as const;
    const { session } = c.get("databases");
    const page = await specs.list(session, query, { withRunners: true });
    announcePage(c, page);
    const results = page.items.map(toCatalogueEntry);
    return c.json({ results, pagination: toPagination(page) }, 200);
  }),
];
