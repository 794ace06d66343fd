import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { readIfMatch, singleJson, versionTag } from "../http/entity-tag.ts";
import { readIdempotencyKey } from "../http/idempotency.ts";
import { JSON_BODY_LIMIT, readBody } from "../http/json-body.ts";
import { toPagination } from "../http/pagination.ts";
import { announcePage } from "../http/paging.ts";
import { throwOnInvalid } from "../http/validation.ts";
import { originOf } from "../identity/audit.ts";
import type { Guards, UserEnv } from "../identity/guards.ts";
import {
  createSpecRoute,
  deleteSpecRoute,
  getSpecRoute,
  listCatalogueRoute,
  listSpecsRoute,
  updateSpecRoute,
} from "./contract.ts";
import type { SpecWire } from "./schemas.ts";
import type { SpecsService } from "./service.ts";
import { toCatalogueEntry, toSpec } from "./wire.ts";

const LIST_PARAMETERS = Object.keys(listSpecsRoute.request.query.shape);
const CATALOGUE_PARAMETERS = Object.keys(listCatalogueRoute.request.query.shape);

export function createSpecsRouter({ specs, guards }: { specs: SpecsService; guards: Guards }) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listSpecsRoute, middleware: guards.admin }, async (c) => {
    const query = c.req.valid("query");
    const { items: found, total, neighbours } = await specs.list(c.get("databases").session, query);
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(found.map(toSpec), 200);
  });

  router.openapi(
    { ...createSpecRoute, middleware: [guards.admin, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const input = c.req.valid("json");
      const claim = readIdempotencyKey(c, input);
      const { session } = c.get("databases");
      const { spec, replayed } = await specs.create(session, originOf(c), input, claim);
      if (replayed) c.header("Idempotency-Replayed", "true");
      c.header("ETag", versionTag(spec));
      return c.json(toSpec(spec), 201);
    },
  );

  router.openapi({ ...getSpecRoute, middleware: guards.admin }, async (c) => {
    const row = await specs.view(c.get("databases").session, c.req.valid("param").spec);
    return single(c, toSpec(row), versionTag(row));
  });

  router.openapi(
    { ...updateSpecRoute, middleware: [guards.admin, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { spec } = c.req.valid("param");
      const input = c.req.valid("json");
      const { session } = c.get("databases");
      const row = await specs.update(session, originOf(c), spec, readIfMatch(c), input);
      c.header("ETag", versionTag(row));
      return c.json(toSpec(row), 200);
    },
  );

  router.openapi({ ...deleteSpecRoute, middleware: guards.admin }, async (c) => {
    const { spec } = c.req.valid("param");
    await specs.remove(c.get("databases").session, originOf(c), spec, readIfMatch(c));
    return c.body(null, 204);
  });

  router.openapi({ ...listCatalogueRoute, middleware: guards.user }, async (c) => {
    const query = c.req.valid("query");
    const { page, per_page: perPage } = query;
    const live = { ...query, sort: "name", direction: "asc", archived: false } as const;
    const {
      items: found,
      total,
      neighbours,
    } = await specs.list(c.get("databases").session, live, {
      withRunners: true,
    });
    announcePage(c, { page, perPage, total, neighbours }, CATALOGUE_PARAMETERS);
    return c.json(
      {
        results: found.map(toCatalogueEntry),
        pagination: toPagination({ page, perPage, total, neighbours }),
      },
      200,
    );
  });

  return router;
}

function single(c: Context<UserEnv>, value: SpecWire, etag: string) {
  // The body is the JSON of `value`: typed as `c.json` would have typed it.
  return singleJson(c, JSON.stringify(value), etag) as unknown as ReturnType<
    typeof c.json<SpecWire, 200>
  >;
}
