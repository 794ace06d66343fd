import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { readIfMatch, singleJson } from "../../http/entity-tag.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { JSON_BODY_LIMIT, readBody } from "../../http/json-body.ts";
import { announcePage } from "../../http/paging.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import { originOf } from "../audit.ts";
import type { Guards, UserEnv } from "../guards.ts";
import type { Asking } from "../people/service.ts";
import {
  createApiTokenRoute,
  getApiTokenRoute,
  listApiTokensRoute,
  revokeApiTokenRoute,
} from "./contract.ts";
import type { ApiTokenWire } from "./schemas.ts";
import type { ApiTokensService } from "./service.ts";
import { apiTokenTag, toApiToken, toNewApiToken } from "./wire.ts";

const LIST_PARAMETERS = Object.keys(listApiTokensRoute.request.query.shape);

interface ApiTokensRouterDeps {
  apiTokens: ApiTokensService;
  guards: Guards;
}

export function createApiTokensRouter({ apiTokens, guards }: ApiTokensRouterDeps) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listApiTokensRoute, middleware: guards.user }, async (c) => {
    const { user } = c.req.valid("param");
    const query = c.req.valid("query");
    const { session } = c.get("databases");
    const found = await apiTokens.list(session, c.get("actor"), user, query);
    const { total, neighbours } = found;
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(found.items.map(toApiToken), 200);
  });

  router.openapi(
    { ...createApiTokenRoute, middleware: [guards.user, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { user } = c.req.valid("param");
      const input = c.req.valid("json");
      const claim = readIdempotencyKey(c, { ...input, user });
      const { session } = c.get("databases");
      const created = await apiTokens.create(session, asking(c), user, input, claim);
      if (created.replayed) c.header("Idempotency-Replayed", "true");
      c.header("Cache-Control", "no-store");
      return c.json(toNewApiToken(created.row, created.token), 201);
    },
  );

  router.openapi({ ...getApiTokenRoute, middleware: guards.user }, async (c) => {
    const { user, uuid } = c.req.valid("param");
    const row = await apiTokens.view(c.get("databases").session, c.get("actor"), user, uuid);
    // The body is the JSON of a token: typed as `c.json` would have typed it.
    return singleJson(
      c,
      JSON.stringify(toApiToken(row)),
      apiTokenTag(row),
    ) as unknown as ReturnType<typeof c.json<ApiTokenWire, 200>>;
  });

  router.openapi({ ...revokeApiTokenRoute, middleware: guards.user }, async (c) => {
    const { user, uuid } = c.req.valid("param");
    await apiTokens.revoke(c.get("databases").session, asking(c), user, readIfMatch(c), uuid);
    return c.body(null, 204);
  });

  return router;
}

function asking(c: Context<UserEnv>): Asking {
  return { actor: c.get("actor"), origin: originOf(c) };
}
