import { readIfMatch } from "../../http/entity-tag.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { changed, created, empty, list, single } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { actorContextOf } from "../guards.ts";
import {
  createUserKeyRoute,
  getUserKeyRoute,
  listUserKeysRoute,
  revokeUserKeyRoute,
  updateUserKeyRoute,
} from "./keys-contract.ts";
import type { ApiTokensService } from "./service.ts";
import { credentialTag, toCreatedUserKey, toUserKey } from "./wire.ts";

export const userKeysRoutes = ({ userKeys }: { userKeys: ApiTokensService }) => [
  serve(listUserKeysRoute, async (c) => {
    const { user } = c.req.valid("param");
    const { session } = c.get("databases");
    const page = await userKeys.list(session, c.get("actor"), user, c.req.valid("query"));
    return list(c, page, page.items.map(toUserKey));
  }),

  serve(createUserKeyRoute, async (c) => {
    const { user } = c.req.valid("param");
    const input = c.req.valid("json");
    const idempotencyKey = readIdempotencyKey(c, { ...input, user });
    const { session } = c.get("databases");
    const { row, secret, replayed } = await userKeys.create(
      session,
      actorContextOf(c),
      user,
      input,
      idempotencyKey,
    );
    return created(c, toCreatedUserKey(row, secret), { replayed });
  }),

  serve(getUserKeyRoute, async (c) => {
    const { user, key } = c.req.valid("param");
    const row = await userKeys.view(c.get("databases").session, c.get("actor"), user, key);
    return single(c, toUserKey(row), credentialTag(row));
  }),

  serve(updateUserKeyRoute, async (c) => {
    const { user, key } = c.req.valid("param");
    const row = await userKeys.update(
      c.get("databases").session,
      actorContextOf(c),
      user,
      readIfMatch(c),
      key,
      c.req.valid("json"),
    );
    return changed(c, toUserKey(row), credentialTag(row));
  }),

  serve(revokeUserKeyRoute, async (c) => {
    const { user, key } = c.req.valid("param");
    await userKeys.revoke(c.get("databases").session, actorContextOf(c), user, readIfMatch(c), key);
    return empty(c);
  }),
];
