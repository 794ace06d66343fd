/** API keys of people: the form that published clients ask for, shown once, stored as a hash, taken as API tokens are. */
import { desc, eq } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { apiTokens, auditEvents, idempotencyKeys } from "../../../src/db/schema.ts";
import {
  createUserKeyRoute,
  getUserKeyRoute,
  listUserKeysRoute,
  updateUserKeyRoute,
} from "../../../src/identity/api-tokens/keys-contract.ts";
import { drawUserKey } from "../../../src/identity/user-keys.ts";
import { MINUTE_MS, SECOND_MS, systemClock } from "../../../src/lib/clock.ts";
import { appDeps, call, expectContract, expectError, V0 } from "../harness/client.ts";
import { createPerson } from "../harness/factories.ts";
import { costOf } from "../harness/instruments.ts";
import { auditOf, db, setUser } from "../harness/rows.ts";
import { admin, colleague, root } from "./team.ts";

const send = (token: string, method: string, path: string, body?: unknown, headers = {}) =>
  call(method, `${V0}/users${path}`, { token, headers, ...(body === undefined ? {} : { body }) });
const make = (who: { token: string }, body: unknown = { name: "script" }, headers = {}) =>
  send(who.token, "POST", "/me/keys", body, headers);
const isIn = async (key: string) => (await send(key, "GET", "/me")).status === 200;

describe("POST /v0/users/{user}/keys", () => {
  test("one that works as its owner until it expires; it is stored nowhere", async ({ expect }) => {
    const person = await colleague();
    const reply = await make(person, { name: "nightly", ttl: 60 });
    expectContract(expect, reply, createUserKeyRoute, 201);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const { uuid, key, creation, expiration } = reply.body;
    expect(key).toMatch(/^bencher_user_[A-Za-z0-9]{30}$/);
    expect(Date.parse(expiration) - Date.parse(creation)).toBe(60_000);
    expect((await send(key, "GET", "/me")).body.uuid).toBe(person.uuid);
    const tables = [
      await db.select().from(apiTokens),
      await db.select().from(auditEvents),
      await db.select().from(idempotencyKeys),
    ];
    expect(JSON.stringify(tables)).not.toContain(key.slice("bencher_user_".length));
    expect(await auditOf(uuid)).toEqual([
      expect.objectContaining({
        action: "user_key_created",
        subject_kind: "user_key",
        details: '{"ttl":60,"scope":"write"}',
      }),
    ]);
    const clock = vi.spyOn(systemClock, "now").mockReturnValue(Date.now() + 61_000);
    onTestFinished(() => clock.mockRestore());
    expectError(expect, await send(key, "GET", "/me"), 401, "CLIENT_TOKEN_INVALID");
  });

  test("without a ttl: for 136 years", async ({ expect }) => {
    const { creation, expiration } = (await make(await colleague())).body;
    expect(Date.parse(expiration) - Date.parse(creation)).toBe((2 ** 32 - 1) * SECOND_MS);
  });

  test("repeated by its Idempotency-Key: the same one, and its key is null", async ({ expect }) => {
    const person = await colleague();
    const headers = { "idempotency-key": crypto.randomUUID() };
    const first = await make(person, { name: "once" }, headers);
    const again = await make(person, { name: "once" }, headers);
    expectContract(expect, again, createUserKeyRoute, 201);
    expect(again.body).toEqual({ ...first.body, key: null });
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(await isIn(first.body.key)).toBe(true);
  });

  test("a hundred, beside a hundred tokens", async ({ expect }) => {
    const person = await colleague();
    for (let made = 0; made < 100; made += 10) {
      const replies = await Promise.all(Array.from({ length: 10 }, () => make(person)));
      expect(replies.every(({ status }) => status === 201)).toBe(true);
    }
    const message = "There are 100 API keys already: revoke one first";
    expectError(expect, await make(person), 403, "PERMISSION_DENIED", message);
    const token = await send(person.token, "POST", "/me/tokens", { name: "token" });
    expect(token.status).toBe(201);
  });

  test("only for oneself, with a session", async ({ expect }) => {
    const person = await colleague();
    const other = await send(root.token, "POST", `/${person.uuid}/keys`, { name: "mine" });
    const message = "You can create API keys only for yourself";
    expectError(expect, other, 403, "PERMISSION_DENIED", message);
    const { key } = (await make(person)).body;
    const refusal = "An API key cannot change people, customers, passwords or tokens: sign in";
    expectError(expect, await make({ token: key }), 403, "PERMISSION_DENIED", refusal);
  });
});

describe("list, view, rename and revoke", () => {
  test("keys are no tokens, and tokens no keys", async ({ expect }) => {
    const person = await colleague();
    const key = (await make(person, { name: "key" })).body;
    const token = (await send(person.token, "POST", "/me/tokens", { name: "token" })).body;
    const keys = await send(person.token, "GET", "/me/keys");
    expectContract(expect, keys, listUserKeysRoute, 200);
    expect(keys.body.map(({ name }: { name: string }) => name)).toEqual(["key"]);
    expect(keys.text).not.toContain(key.key);
    const tokens = await send(person.token, "GET", "/me/tokens");
    expect(tokens.body.map(({ name }: { name: string }) => name)).toEqual(["token"]);
    for (const [uuid, path] of [
      [key.uuid, "/me/tokens"],
      [token.uuid, "/me/keys"],
    ]) {
      for (const method of ["GET", "PATCH", "DELETE"]) {
        const body = method === "PATCH" ? {} : undefined;
        const reply = await send(person.token, method, `${path}/${uuid}`, body);
        expectError(expect, reply, 404, "RESOURCE_NOT_FOUND");
      }
    }
  });

  test("renamed, then revoked: dead at once, and listed as revoked", async ({ expect }) => {
    const person = await colleague();
    const { uuid, key } = (await make(person)).body;
    const path = `/me/keys/${uuid.toUpperCase()}`;
    const etag = (await send(person.token, "GET", path)).headers.get("etag") ?? "";
    const renamed = await send(
      person.token,
      "PATCH",
      path,
      { name: "other" },
      { "if-match": etag },
    );
    expectContract(expect, renamed, updateUserKeyRoute, 200);
    expect(renamed.body.name).toBe("other");
    expect(await isIn(key)).toBe(true);
    expect((await send(person.token, "DELETE", path)).status).toBe(204);
    expect(await isIn(key)).toBe(false);
    expect((await send(person.token, "GET", "/me/keys")).body).toEqual([]);
    const revoked = await send(person.token, "GET", "/me/keys?revoked=true");
    expectContract(expect, revoked, listUserKeysRoute, 200);
    expect(revoked.body).toMatchObject([{ uuid, name: "other", revoked: expect.any(String) }]);
    const one = await send(person.token, "GET", path);
    expectContract(expect, one, getUserKeyRoute, 200);
    expect(one.body.revoked).toBe(revoked.body[0].revoked);
    const again = await send(person.token, "DELETE", path);
    expectError(expect, again, 404, "RESOURCE_NOT_FOUND", `Key with id ${uuid} not found`);
    expect((await auditOf(uuid)).map(({ action }) => action)).toEqual([
      ...["user_key_created", "user_key_updated", "user_key_revoked"],
    ]);
  });

  test("administrators see and revoke those of whom they manage; others nobody's", async ({
    expect,
  }) => {
    const person = await colleague();
    const { uuid } = (await make(person)).body;
    const path = `/${person.uuid}/keys/${uuid}`;
    const stranger = await send((await colleague()).token, "GET", path);
    expectError(expect, stranger, 403, "PERMISSION_DENIED");
    expect((await send(admin.token, "GET", path)).status).toBe(200);
    expect((await send(admin.token, "DELETE", path)).status).toBe(204);
  });
});

describe("a key as a bearer token", () => {
  test("may what its owner may, and writes down its use", async ({ expect }) => {
    const person = await createPerson({ role: "root_admin" });
    const { uuid, key } = (await make(person)).body;
    expect((await send(key, "GET", "")).status).toBe(200);
    const spec = { name: "x", architecture: "x86_64", cpu: 1, memory: 1, disk: 1 };
    const made = await call("POST", `${V0}/specs`, { token: key, body: spec });
    expect(made.status).toBe(201);
    const jobs = await call("POST", "/jobs", { token: key, body: { benchmarks: [] } });
    expect(jobs.status).toBe(201);
    const { body } = await send(person.token, "GET", `/me/keys/${uuid}`);
    expect(Math.abs(Date.parse(body.last_used) - Date.now())).toBeLessThan(60_000);
    await setUser(person, { locked: true });
    const clock = vi.spyOn(systemClock, "now").mockReturnValue(Date.now() + MINUTE_MS);
    onTestFinished(() => clock.mockRestore());
    expectError(expect, await send(key, "GET", "/me"), 401, "CLIENT_TOKEN_INVALID");
  });

  test("of the scope read sends GET and HEAD alone", async ({ expect }) => {
    const { key } = (await make(await colleague(), { name: "r", scope: "read" })).body;
    expect((await call("GET", "/jobs", { token: key })).status).toBe(200);
    const message = "This API key can only read: use one with the scope write";
    const refused = await call("POST", "/jobs", { token: key, body: { benchmarks: [] } });
    expectError(expect, refused, 403, "PERMISSION_DENIED", message);
  });

  test("costs one round trip in 30 seconds; a wrong one costs one each time", async ({
    expect,
  }) => {
    const { key } = (await make(await colleague())).body;
    const jobs = (token: string) => costOf(() => call("GET", "/jobs", { token }));
    expect(await jobs(key)).toMatchObject({ status: 200, d1_round_trips: 2 });
    expect(await jobs(key)).toMatchObject({ status: 200, d1_round_trips: 1 });
    expect(await jobs(drawUserKey())).toMatchObject({ status: 401, d1_round_trips: 1 });
    const other = drawUserKey().slice(0, -1);
    expect(await jobs(other), "of another form").toMatchObject({ status: 401, d1_round_trips: 0 });
  });

  test("made up by thousands: the address is limited before D1 is asked", async ({ expect }) => {
    const address = { limit: async () => ({ success: false }) };
    const rateLimitCounters = { ...appDeps().rateLimitCounters, address };
    const config = { ...appDeps().config, rateLimitScale: 1 };
    const app = await createApp(appDeps({ config, rateLimitCounters }));
    const knock = async (key: string) => {
      const headers = { authorization: `Bearer ${key}`, "cf-connecting-ip": "192.0.2.77" };
      const { status, d1_round_trips: trips } = await costOf(async () =>
        app.request(`${V0}/users/me`, { headers }),
      );
      return [status, trips];
    };
    const { key } = (await make(await colleague())).body;
    expect(await knock(key)).toEqual([200, 2]);
    const replies = [];
    for (let n = 0; n < 60; n++) replies.push(await knock(drawUserKey()));
    expect(replies).toEqual([
      ...Array.from({ length: 30 }, () => [401, 1]),
      ...Array.from({ length: 30 }, () => [429, 0]),
    ]);
    expect(await knock(key), "a key that is known here is not held up").toEqual([200, 1]);
  });
});

test("the newest thousand revoked ones are listed", async ({ expect }) => {
  const person = await colleague();
  const now = Date.now();
  const rows = Array.from({ length: 1_001 }, (_, at) => ({
    uuid: crypto.randomUUID(),
    userId: person.id,
    name: `n${at}`,
    keyHash: `hash-${person.id}-${at}`,
    createdAt: now,
    expiresAt: now,
    revokedAt: now - 1_001 + at,
  }));
  for (let at = 0; at < rows.length; at += 10) {
    await db.insert(apiTokens).values(rows.slice(at, at + 10));
  }
  const listed = await send(person.token, "GET", "/me/keys?revoked=true&name=n0");
  expect(listed.body).toEqual([]);
  const all = await send(person.token, "GET", "/me/keys?revoked=true");
  expect(all.headers.get("x-total-count")).toBe("1000");
  const [newest] = await db
    .select({ revokedAt: apiTokens.revokedAt })
    .from(apiTokens)
    .where(eq(apiTokens.userId, person.id))
    .orderBy(desc(apiTokens.revokedAt))
    .limit(1);
  expect(newest?.revokedAt).toBe(now - 1);
});
