import { readIfMatch } from "../../http/entity-tag.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { changed, created, empty, list, single } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { siteOf } from "../../http/site.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { actorContextOf } from "../guards.ts";
import { originOf } from "../origin.ts";
import {
  changeOwnPasswordRoute,
  createPasswordLinkRoute,
  createUserRoute,
  deleteUserRoute,
  getOwnUserRoute,
  getUserRoute,
  listUsersRoute,
  setPasswordRoute,
  setUpRoute,
  updateUserRoute,
} from "./contract.ts";
import type { PasswordsService } from "./passwords.ts";
import type { PeopleService } from "./service.ts";
import type { SetupService } from "./setup.ts";
import { toUser, userTag } from "./wire.ts";

interface RouterDeps {
  people: PeopleService;
  passwords: PasswordsService;
  setup: SetupService;
}

export const peopleRoutes = ({ people, passwords, setup }: RouterDeps) => [
  serve(listUsersRoute, async (c) => {
    const { session } = c.get("databases");
    const page = await people.list(session, c.get("actor"), c.req.valid("query"));
    return list(c, page, page.items.map(toUser));
  }),

  serve(createUserRoute, async (c) => {
    const input = c.req.valid("json");
    // The stored hash of the request is fast to compute, so a password could be guessed from it.
    const { password: _secret, ...compared } = input;
    const key = readIdempotencyKey(c, compared);
    const { session } = c.get("databases");
    const { person, replayed } = await people.create(session, actorContextOf(c), input, key);
    return created(c, toUser(person), { replayed, etag: userTag(person) });
  }),

  // Before `{user}`, which would match `me`.
  serve(getOwnUserRoute, async (c) => {
    const row = await people.viewSelf(c.get("databases").session, c.get("actor"));
    return single(c, toUser(row), userTag(row));
  }),

  serve(changeOwnPasswordRoute, async (c) => {
    const { primary } = c.get("databases");
    await passwords.changeOwnPassword(primary, actorContextOf(c), c.req.valid("json"));
    return empty(c);
  }),

  serve(getUserRoute, async (c) => {
    const { user } = c.req.valid("param");
    const row = await people.view(c.get("databases").session, c.get("actor"), user);
    return single(c, toUser(row), userTag(row));
  }),

  serve(updateUserRoute, async (c) => {
    const { user } = c.req.valid("param");
    const { session } = c.get("databases");
    const input = c.req.valid("json");
    const row = await people.update(session, actorContextOf(c), user, readIfMatch(c), input);
    return changed(c, toUser(row), userTag(row));
  }),

  serve(deleteUserRoute, async (c) => {
    const { user } = c.req.valid("param");
    await people.remove(c.get("databases").session, actorContextOf(c), user, readIfMatch(c));
    return empty(c);
  }),

  serve(createPasswordLinkRoute, async (c) => {
    const { user } = c.req.valid("param");
    const key = readIdempotencyKey(c, { user });
    const { session } = c.get("databases");
    const link = await passwords.createPasswordLink(session, actorContextOf(c), user, key);
    const url = `${siteOf(c) ?? ""}/set-password#${link.token}`;
    return created(c, { url, expiration: toTimestamp(link.expiresAt) }, link);
  }),

  serve(setUpRoute, async (c) => {
    const { primary } = c.get("databases");
    const person = await setup.createFirstAdmin(primary, originOf(c), c.req.valid("json"));
    return c.json(toUser(person), 201);
  }),

  serve(setPasswordRoute, async (c) => {
    await passwords.setPassword(c.get("databases").primary, originOf(c), c.req.valid("json"));
    return empty(c);
  }),
];
