import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { RequestEnv } from "../../http/context.ts";
import { readIfMatch, singleJson } from "../../http/entity-tag.ts";
import { ApiError } from "../../http/errors.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { JSON_BODY_LIMIT, KIB, readBody } from "../../http/json-body.ts";
import { announcePage } from "../../http/paging.ts";
import { addressOf, type RateLimits } from "../../http/rate-limit.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { originOf } from "../audit.ts";
import type { Guards, UserEnv } from "../guards.ts";
import {
  changeOwnPasswordRoute,
  createPasswordLinkRoute,
  createUserRoute,
  deleteUserRoute,
  getOwnUserRoute,
  getUserRoute,
  listUsersRoute,
  setPasswordRoute,
  updateUserRoute,
} from "./contract.ts";
import type { UserWire } from "./schemas.ts";
import type { Asking, PeopleService } from "./service.ts";
import type { PersonRow } from "./store.ts";
import { toUser, userTag } from "./wire.ts";

const LIST_PARAMETERS = Object.keys(listUsersRoute.request.query.shape);
/** As that of a sign-in, which is as open. */
const PASSWORD_BODY_LIMIT = 16 * KIB;

interface PeopleRouterDeps {
  people: PeopleService;
  guards: Guards;
  limits: RateLimits;
}

export function createPeopleRouter({ people, guards, limits }: PeopleRouterDeps) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listUsersRoute, middleware: guards.manager }, async (c) => {
    const query = c.req.valid("query");
    const { session } = c.get("databases");
    const { items, total, neighbours } = await people.list(session, c.get("actor"), query);
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(items.map(toUser), 200);
  });

  router.openapi(
    { ...createUserRoute, middleware: [guards.manager, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const input = c.req.valid("json");
      // A fast hash of a password could be guessed from: it stays out of what is kept.
      const { password: _secret, ...compared } = input;
      const claim = readIdempotencyKey(c, compared);
      const { session } = c.get("databases");
      const { person, replayed } = await people.create(session, asking(c), input, claim);
      if (replayed) c.header("Idempotency-Replayed", "true");
      c.header("ETag", userTag(person));
      return c.json(toUser(person), 201);
    },
  );

  // Before `{user}`: `me` is a word, not a person's slug.
  router.openapi({ ...getOwnUserRoute, middleware: guards.user }, async (c) =>
    single(c, await people.viewSelf(c.get("databases").session, c.get("actor"))),
  );

  const onlySessions = createMiddleware<UserEnv>(async (c, next) => {
    const { credential } = c.get("actor");
    if (credential.kind !== "session") {
      throw new ApiError("PERMISSION_DENIED", "An API token cannot change the password: sign in");
    }
    await next();
  });
  const ownPassword = [guards.user, onlySessions, readBody(PASSWORD_BODY_LIMIT)] as const;
  router.openapi(
    { ...changeOwnPasswordRoute, middleware: [...ownPassword] as const },
    async (c) => {
      // Before the hashes. Who holds a stolen token must not guess on.
      await limits.check(c, "sign-in-account", c.get("actor").userUuid);
      const { primary } = c.get("databases");
      await people.changeOwnPassword(primary, asking(c), c.req.valid("json"));
      return c.body(null, 204);
    },
  );

  router.openapi({ ...getUserRoute, middleware: guards.manager }, async (c) => {
    const { user } = c.req.valid("param");
    return single(c, await people.view(c.get("databases").session, c.get("actor"), user));
  });

  router.openapi(
    { ...updateUserRoute, middleware: [guards.manager, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { user } = c.req.valid("param");
      const { session } = c.get("databases");
      const input = c.req.valid("json");
      const row = await people.update(session, asking(c), user, readIfMatch(c), input);
      c.header("ETag", userTag(row));
      return c.json(toUser(row), 200);
    },
  );

  router.openapi({ ...deleteUserRoute, middleware: guards.manager }, async (c) => {
    const { user } = c.req.valid("param");
    await people.remove(c.get("databases").session, asking(c), user, readIfMatch(c));
    return c.body(null, 204);
  });

  router.openapi({ ...createPasswordLinkRoute, middleware: guards.manager }, async (c) => {
    const { user } = c.req.valid("param");
    const claim = readIdempotencyKey(c, { user });
    const { session } = c.get("databases");
    const link = await people.createPasswordLink(session, asking(c), user, claim);
    if (link.replayed) c.header("Idempotency-Replayed", "true");
    c.header("Cache-Control", "no-store");
    const url = `${new URL(c.req.url).origin}/set-password#${link.token}`;
    return c.json({ url, expiration: toTimestamp(link.expiresAt) }, 201);
  });

  const limitAddress = createMiddleware<RequestEnv>(async (c, next) => {
    await limits.check(c, "sign-in-address", addressOf(c));
    await next();
  });
  router.openapi(
    { ...setPasswordRoute, middleware: [limitAddress, readBody(PASSWORD_BODY_LIMIT)] as const },
    async (c) => {
      await people.setPassword(c.get("databases").primary, originOf(c), c.req.valid("json"));
      return c.body(null, 204);
    },
  );

  return router;
}

function asking(c: Context<UserEnv>): Asking {
  return { actor: c.get("actor"), origin: originOf(c) };
}

function single(c: Context<UserEnv>, row: PersonRow) {
  // The body is the JSON of a person: typed as `c.json` would have typed it.
  return singleJson(c, JSON.stringify(toUser(row)), userTag(row)) as unknown as ReturnType<
    typeof c.json<UserWire, 200>
  >;
}
