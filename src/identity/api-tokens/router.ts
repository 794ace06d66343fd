import { readIfMatch } from "../../http/entity-tag.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { changed, created, empty, list, single } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { actorContextOf } from "../guards.ts";
import {
  createApiTokenRoute,
  getApiTokenRoute,
  listApiTokensRoute,
  revokeApiTokenRoute,
  updateApiTokenRoute,
} from "./contract.ts";
import type { ApiTokensService } from "./service.ts";
import { credentialTag, toApiToken, toCreatedApiToken } from "./wire.ts";

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
    const { row, secret, replayed } = await apiTokens.create(
      session,
      actorContextOf(c),
      user,
      input,
      key,
    );
    return created(c, toCreatedApiToken(row, secret ?? ""), { replayed });
  }),

  serve(getApiTokenRoute, async (c) => {
    const { user, uuid } = c.req.valid("param");
    const row = await apiTokens.view(c.get("databases").session, c.get("actor"), user, uuid);
    return single(c, toApiToken(row), credentialTag(row));
  }),

  serve(updateApiTokenRoute, async (c) => {
    const { user, uuid } = c.req.valid("param");
    const row = await apiTokens.update(
      c.get("databases").session,
      actorContextOf(c),
      user,
      readIfMatch(c),
      uuid,
      c.req.valid("json"),
    );
    return changed(c, toApiToken(row), credentialTag(row));
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
