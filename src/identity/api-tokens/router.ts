import { readIfMatch } from "../../http/entity-tag.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { created, empty, list, single } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { actorContextOf } from "../guards.ts";
import {
  createApiTokenRoute,
  getApiTokenRoute,
  listApiTokensRoute,
  revokeApiTokenRoute,
} from "./contract.ts";
import type { ApiTokensService } from "./service.ts";
import { apiTokenTag, toApiToken, toNewApiToken } from "./wire.ts";

export const apiTokensRoutes = ({ apiTokens }: { apiTokens: ApiTokensService }) => [
  serve(listApiTokensRoute, async (c) => {
    const { user } = c.req.valid("param");
    const { session } = c.get("databases");
    const page = await apiTokens.list(session, c.get("actor"), user, c.req.valid("query"));
    return list(c, page, page.items.map(toApiToken));
  }),

  serve(createApiTokenRoute, async (c) => {
    const { user } = c.req.valid("param");
    const input = c.req.valid("json");
    const key = readIdempotencyKey(c, { ...input, user });
    const { session } = c.get("databases");
    const { row, token, replayed } = await apiTokens.create(
      session,
      actorContextOf(c),
      user,
      input,
      key,
    );
    return created(c, toNewApiToken(row, token), { replayed });
  }),

  serve(getApiTokenRoute, async (c) => {
    const { user, uuid } = c.req.valid("param");
    const row = await apiTokens.view(c.get("databases").session, c.get("actor"), user, uuid);
    return single(c, toApiToken(row), apiTokenTag(row));
  }),

  serve(revokeApiTokenRoute, async (c) => {
    const { user, uuid } = c.req.valid("param");
    await apiTokens.revoke(
      c.get("databases").session,
      actorContextOf(c),
      user,
      readIfMatch(c),
      uuid,
    );
    return empty(c);
  }),
];
