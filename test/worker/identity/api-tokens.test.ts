/** API tokens: made by their owners, shown once, used as them, and ended. */
import { eq } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import { apiTokens, auditEvents, idempotencyKeys } from "../../../src/db/schema.ts";
import {
  createApiTokenRoute,
  getApiTokenRoute,
  listApiTokensRoute,
  updateApiTokenRoute,
} from "../../../src/identity/api-tokens/contract.ts";
import { DAY_MS, SECOND_MS, systemClock } from "../../../src/lib/clock.ts";
import { call, expectContract, expectError, V0 } from "../harness/client.ts";
import { createCustomer, createPerson, signedIn } from "../harness/factories.ts";
import { costOf } from "../harness/instruments.ts";
import { auditOf, db, endSessions, insertRows, setUser, times } from "../harness/rows.ts";

const UNKNOWN = "00000000-0000-4000-8000-000000000000";
const root = await createPerson({ role: "root_admin" });
const customerId = await createCustomer();
const admin = await createPerson({ role: "customer_admin", customerId });
const colleague = (role: "user" | "staff" = "user") => createPerson({ role, customerId });

const send = (token: string, method: string, path: string, body?: unknown, headers = {}) =>
  call(method, `${V0}/users${path}`, { token, headers, ...(body === undefined ? {} : { body }) });
const make = (who: { token: string }, body: unknown = { name: "script" }, headers = {}) =>
  send(who.token, "POST", "/me/tokens", body, headers);
const list = (who: { token: string }, whom = "me", query = "") =>
  send(who.token, "GET", `/${whom}/tokens${query}`);
const isIn = async (token: string) => (await send(token, "GET", "/me")).status === 200;

describe("POST /v0/users/{user}/tokens", () => {
  test("one that works as its owner, until it expires; the trail names it", async ({ expect }) => {
    const person = await colleague();
    const reply = await make(person, { name: "nightly", ttl: 60 });
    expectContract(expect, reply, createApiTokenRoute, 201);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const { uuid, token, creation, expiration } = reply.body;
    expect(reply.body).toMatchObject({ user: person.uuid, name: "nightly" });
    expect(Date.parse(expiration) - Date.parse(creation)).toBe(60_000);
    expect((await send(token, "GET", "/me")).body.uuid).toBe(person.uuid);
    const clock = vi.spyOn(systemClock, "now").mockReturnValue(Date.now() + 61_000);
    try {
      expect(await isIn(token)).toBe(false);
    } finally {
      clock.mockRestore();
    }
    const events = await auditOf(uuid);
    expect(events).toEqual([
      expect.objectContaining({
        action: "api_token_created",
        actor: person.uuid,
        subject_kind: "api_token",
        customer_id: customerId,
        details: '{"ttl":60,"scope":"write"}',
      }),
    ]);
    expect(JSON.stringify(events)).not.toContain(token);
  });

  test("without a ttl, or with null: for 136 years; by UUID and slug of the owner, too", async ({
    expect,
  }) => {
    const person = await colleague();
    for (const whom of ["me", person.uuid, `person-${person.uuid}`]) {
      for (const body of [{ name: "a" }, { name: "b", ttl: null }]) {
        const reply = await send(person.token, "POST", `/${whom}/tokens`, body);
        expectContract(expect, reply, createApiTokenRoute, 201);
        const lifetime = Date.parse(reply.body.expiration) - Date.parse(reply.body.creation);
        expect(lifetime).toBe((2 ** 32 - 1) * SECOND_MS);
        expect(await isIn(reply.body.token)).toBe(true);
      }
    }
  });

  test.for([
    ["no name", {}, "name is required"],
    ["a name of 65 bytes", { name: "x".repeat(65) }, "name must have at most 64 characters"],
    ["ttl 59", { name: "a", ttl: 59 }, "ttl must be between 60 and 4294967295"],
    ["ttl 2^32", { name: "a", ttl: 2 ** 32 }, "ttl must be between 60 and 4294967295"],
    ["ttl 60.5", { name: "a", ttl: 60.5 }, "ttl must be an integer"],
  ] as const)("%s: 400", async ([, body, message], { expect }) => {
    const reply = await make(root, body);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.message).toContain(message);
  });

  test.for(["tokens", "keys"])(
    "%s: a misspelt ttl or scope is refused, or the credential would last longer and do more",
    async (kind, { expect }) => {
      const { token } = await colleague();
      const create = (body: object) =>
        send(token, "POST", `/me/${kind}`, { name: "script", ...body });
      for (const [sent, meant] of [
        ["tll", "ttl"],
        ["expiration", "ttl"],
        ["scop", "scope"],
        ["Scope", "scope"],
      ] as const) {
        const reply = await create({ [sent]: "read" });
        const message = `unknown field '${sent}'; did you mean '${meant}'?`;
        expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
      }
      expect((await create({ token: "x", user: "y" })).status).toBe(201);
    },
  );

  test("for others: 403, whether they are there or not, for every role", async ({ expect }) => {
    const other = await colleague();
    for (const who of [root, admin, await colleague("staff"), await colleague()]) {
      for (const whom of [other.uuid, UNKNOWN]) {
        const reply = await send(who.token, "POST", `/${whom}/tokens`, { name: "mine" });
        const message = "You can create API tokens only for yourself";
        expectError(expect, reply, 403, "PERMISSION_DENIED", message);
      }
    }
    expect((await list(other)).body).toEqual([]);
  });

  test("by a session that another isolate has ended: 401, and nothing that outlives it", async ({
    expect,
  }) => {
    const person = await colleague();
    expect(await isIn(person.token)).toBe(true);
    await endSessions(person);
    expect(await isIn(person.token), "known here for 30 s").toBe(true);
    expectError(expect, await make(person), 401, "CLIENT_TOKEN_INVALID");
    expect((await list(person)).body).toEqual([]);
  });

  test("by an API token: 403", async ({ expect }) => {
    const { token } = (await make(await colleague())).body;
    const message = "An API token cannot change people, customers, passwords or tokens: sign in";
    expectError(expect, await make({ token }), 403, "PERMISSION_DENIED", message);
  });

  test("repeated by its key: the same token again, and it is stored nowhere", async ({
    expect,
  }) => {
    const person = await colleague();
    const headers = { "idempotency-key": crypto.randomUUID() };
    const first = await make(person, { name: "once" }, headers);
    const second = await make(person, { name: "once" }, headers);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect((await list(person)).headers.get("x-total-count")).toBe("1");
    const other = await make(person, { name: "twice" }, headers);
    expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
    const tables = [
      await db.select().from(idempotencyKeys),
      await db.select().from(apiTokens),
      await db.select().from(auditEvents),
    ];
    expect(JSON.stringify(tables)).not.toContain(first.body.token.split(".")[2]);
  });

  test("a hundred, also when many are made at once; one revoked makes room", async ({ expect }) => {
    const person = await colleague();
    const bulk = times(97, (at) => ({
      uuid: crypto.randomUUID(),
      userId: person.id,
      name: "bulk",
      keyId: "k",
      createdAt: at + 1,
      expiresAt: at + 2,
    }));
    await insertRows(apiTokens, bulk);
    const once = { "idempotency-key": crypto.randomUUID() };
    const first = await make(person, { name: "once" }, once);
    const replies = await Promise.all(Array.from({ length: 8 }, () => make(person)));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(2);
    const repeated = await make(person, { name: "once" }, once);
    expect(repeated.body, "a repeat needs no room").toEqual(first.body);
    const refused = replies.find(({ status }) => status !== 201);
    if (refused === undefined) throw new Error("none was refused");
    const message = "There are 100 API tokens already: revoke one first";
    expectError(expect, refused, 403, "PERMISSION_DENIED", message);
    const uuid = replies.find(({ status }) => status === 201)?.body.uuid;
    const headers = { "idempotency-key": crypto.randomUUID() };
    expect((await make(person, { name: "late" }, headers)).status).toBe(403);
    expect((await send(person.token, "DELETE", `/me/tokens/${uuid}`)).status).toBe(204);
    const late = await make(person, { name: "late" }, headers);
    expect(late.status, "the refusal has not used up the key").toBe(201);
  });
});

describe("what a token may do", () => {
  test("what its owner may at the time", async ({ expect }) => {
    const person = await createPerson({ role: "customer_admin", customerId });
    const { token } = (await make(person)).body;
    expect((await send(token, "GET", "")).status).toBe(200);
    const change = (body: unknown) => send(root.token, "PATCH", `/${person.uuid}`, body);
    await change({ role: "user" });
    expectError(expect, await send(token, "GET", ""), 403, "PERMISSION_DENIED");
    await change({ locked: true });
    expectError(expect, await send(token, "GET", "/me"), 401, "CLIENT_TOKEN_INVALID");
    await change({ locked: false });
    expect(await isIn(token), "locking ends sessions; tokens wait").toBe(true);
  });

  test("its last use is written at most once a minute, and none of a locked person's", async ({
    expect,
  }) => {
    const person = await colleague();
    const { uuid, token } = (await make(person)).body;
    const start = Date.now();
    const clock = vi.spyOn(systemClock, "now");
    onTestFinished(() => clock.mockRestore());
    /** The time of the last use as it is stored, so many seconds later: no isolate remembers the last one then. */
    const lastUsed = async (seconds: number) => {
      clock.mockReturnValue(start + seconds * SECOND_MS);
      const { status } = await send(token, "GET", "/me");
      const [row] = await db.select().from(apiTokens).where(eq(apiTokens.uuid, uuid));
      return [status, (Number(row?.lastUsedAt) - start) / SECOND_MS];
    };
    expect(await lastUsed(0)).toEqual([200, 0]);
    expect(await lastUsed(31)).toEqual([200, 0]);
    expect(await lastUsed(62)).toEqual([200, 62]);
    await setUser(person, { locked: true });
    expect(await lastUsed(130)).toEqual([401, 62]);
  });

  test("its last use is written down", async ({ expect }) => {
    const person = await colleague();
    const { uuid, token } = (await make(person)).body;
    const view = () => send(person.token, "GET", `/me/tokens/${uuid}`);
    const unused = await view();
    expect(unused.body.last_used).toBeNull();
    await isIn(token);
    const used = await view();
    expect(Math.abs(Date.parse(used.body.last_used) - Date.now())).toBeLessThan(60_000);
    expect(used.headers.get("etag")).not.toBe(unused.headers.get("etag"));
  });
});

describe("list, view and revoke", () => {
  test("the owner: a page, by name, without the secret", async ({ expect }) => {
    const person = await colleague();
    const made = [];
    for (const name of ["b", "a", "c"]) made.push((await make(person, { name })).body);
    const reply = await list(person, "me", "?per_page=2");
    expectContract(expect, reply, listApiTokensRoute, 200);
    expect(reply.body.map(({ name }: { name: string }) => name)).toEqual(["a", "b"]);
    expect(reply.headers.get("x-total-count")).toBe("3");
    expect(reply.text).not.toContain(made[0].token);
    expect(reply.body[0]).toMatchObject({ token: "----.----.----", revoked: null });
    const link = /<([^>]*)>; rel="next"/.exec(reply.headers.get("link") ?? "")?.[1] ?? "";
    const next = await call("GET", link, { token: person.token });
    expect(next.body.map(({ name }: { name: string }) => name)).toEqual(["c"]);
    expect((await list(person, "me", "?name=b")).body).toHaveLength(1);
    expect((await list(person, "me", `?search=${made[2].uuid}`)).body).toHaveLength(1);
    const one = await send(person.token, "GET", `/me/tokens/${made[0].uuid.toUpperCase()}`);
    expectContract(expect, one, getApiTokenRoute, 200);
  });

  test("renamed: another version, the same token; nothing and null only count", async ({
    expect,
  }) => {
    const person = await colleague();
    const { uuid, token } = (await make(person)).body;
    const path = `/me/tokens/${uuid}`;
    const before = await send(person.token, "GET", path);
    const etag = before.headers.get("etag") ?? "";
    const rename = (body: unknown, headers = {}) =>
      send(person.token, "PATCH", path, body, headers);
    const reply = await rename({ name: "weekly" }, { "if-match": etag });
    expectContract(expect, reply, updateApiTokenRoute, 200);
    expect(reply.body).toEqual({ ...before.body, name: "weekly" });
    expect(await isIn(token)).toBe(true);
    expectError(
      expect,
      await rename({ name: "x" }, { "if-match": etag }),
      412,
      "PRECONDITION_FAILED",
    );
    for (const body of [{}, { name: null }]) {
      expect((await rename(body)).body.name).toBe("weekly");
    }
    expectError(expect, await rename({ name: "" }), 400, "PARAMETER_INCORRECT_VALUE");
    expect((await list(person, "me", "?name=weekly")).body).toHaveLength(1);
    const trail = (await auditOf(uuid)).map(({ action, details }) => [action, details]);
    expect(trail).toEqual([
      ["api_token_created", '{"ttl":null,"scope":"write"}'],
      ["api_token_updated", '{"fields":["name"]}'],
      ["api_token_updated", '{"fields":[]}'],
      ["api_token_updated", '{"fields":[]}'],
    ]);
  });

  test("revoked ones are a list of their own, for 30 days", async ({ expect }) => {
    const person = await colleague();
    const made = [];
    for (const name of ["b", "a", "live"]) made.push((await make(person, { name })).body);
    const started = Date.now();
    const clock = vi.spyOn(systemClock, "now");
    onTestFinished(() => clock.mockRestore());
    for (const [at, { uuid }] of made.slice(0, 2).entries()) {
      clock.mockReturnValue(started + at * SECOND_MS);
      await send(person.token, "DELETE", `/me/tokens/${uuid}`);
    }
    const revoked = async (query = "") => {
      const reply = await list(person, "me", `?revoked=true${query}`);
      expectContract(expect, reply, listApiTokensRoute, 200);
      expect(reply.headers.get("x-total-count")).toBe(String(reply.body.length));
      return reply.body.map(({ name, revoked: at }: { name: string; revoked: string }) => [
        name,
        Date.parse(at) - started,
      ]);
    };
    expect(await revoked()).toEqual([
      ["a", SECOND_MS],
      ["b", 0],
    ]);
    expect(await revoked("&sort=created&direction=asc")).toEqual([
      ["b", 0],
      ["a", SECOND_MS],
    ]);
    expect(await revoked("&name=b")).toEqual([["b", 0]]);
    for (const query of ["", "?revoked=false"]) {
      const live = await list(person, "me", query);
      expect(live.body.map(({ name }: { name: string }) => name)).toEqual(["live"]);
    }
    const one = await send(person.token, "GET", `/me/tokens/${made[0].uuid}`);
    expectContract(expect, one, getApiTokenRoute, 200);
    expect(Date.parse(one.body.revoked)).toBe(started);
    // Signed in anew by then: sessions end after 30 days, too.
    clock.mockReturnValue(started + 30 * DAY_MS);
    const later = { ...person, token: await signedIn(person) };
    expect((await list(later, "me", "?revoked=true")).body).toHaveLength(1);
    const gone = await send(later.token, "GET", `/me/tokens/${made[0].uuid}`);
    expectError(expect, gone, 404, "RESOURCE_NOT_FOUND");
    const bad = await list(later, "me", "?revoked=1");
    expectError(
      expect,
      bad,
      400,
      "PARAMETER_INCORRECT_VALUE",
      "revoked must be true or false, given once",
    );
  });

  test("revoked: gone from the list at once, and never changed again", async ({ expect }) => {
    const person = await colleague();
    const { uuid, token } = (await make(person)).body;
    expect(await isIn(token)).toBe(true);
    const path = `/me/tokens/${uuid}`;
    const etag = (await send(person.token, "GET", path)).headers.get("etag") ?? "";
    const stale = { "if-match": etag.replace(".1.", ".2.") };
    const refused = await send(person.token, "DELETE", path, undefined, stale);
    expectError(expect, refused, 412, "PRECONDITION_FAILED");
    expect(await isIn(token)).toBe(true);
    const headers = { "if-match": etag };
    const reply = await send(person.token, "DELETE", path, undefined, headers);
    expect([reply.status, reply.text]).toEqual([204, ""]);
    expect(await isIn(token)).toBe(false);
    expect((await list(person)).body).toEqual([]);
    for (const method of ["PATCH", "DELETE"]) {
      const body = method === "PATCH" ? { name: "other" } : undefined;
      const gone = await send(person.token, method, path, body);
      expectError(expect, gone, 404, "RESOURCE_NOT_FOUND", `Token with id ${uuid} not found`);
    }
    expect((await auditOf(uuid)).map(({ action }) => action)).toEqual([
      ...["api_token_created", "api_token_revoked"],
    ]);
  });

  test("a token's path names its owner: nobody else's works in it", async ({ expect }) => {
    const [one, other] = [await colleague(), await colleague()];
    const { uuid } = (await make(other)).body;
    for (const method of ["GET", "DELETE"]) {
      const reply = await send(one.token, method, `/me/tokens/${uuid}`);
      expectError(expect, reply, 404, "RESOURCE_NOT_FOUND", `Token with id ${uuid} not found`);
    }
    expectError(
      expect,
      await send(one.token, "GET", "/me/tokens/x"),
      400,
      "PARAMETER_INCORRECT_VALUE",
    );
  });

  test("others: 403 for users and staff, whether people are there or not", async ({ expect }) => {
    const other = await colleague();
    const { uuid } = (await make(other)).body;
    for (const role of ["user", "staff"] as const) {
      const { token } = await colleague(role);
      for (const whom of [other.uuid, UNKNOWN]) {
        for (const [method, path] of [
          ["GET", ""],
          ["GET", `/${uuid}`],
          ["PATCH", `/${uuid}`],
          ["DELETE", `/${uuid}`],
        ] as const) {
          const body = method === "PATCH" ? { name: "other" } : undefined;
          const reply = await send(token, method, `/${whom}/tokens${path}`, body);
          const message = "Only administrators can do this for others";
          expectError(expect, reply, 403, "PERMISSION_DENIED", message);
        }
      }
    }
  });

  test("administrators: of whom they see; revoking only of whom they manage", async ({
    expect,
  }) => {
    const foreign = await createPerson();
    for (const [person, seen, managed] of [
      [await colleague(), true, true],
      [await colleague("staff"), true, false],
      [foreign, false, false],
    ] as const) {
      const { uuid } = (await make(person)).body;
      const path = `/${person.uuid}/tokens/${uuid}`;
      expect((await list(admin, person.uuid)).status).toBe(seen ? 200 : 404);
      expect((await send(admin.token, "GET", path)).status).toBe(seen ? 200 : 404);
      const renamed = await send(admin.token, "PATCH", path, { name: "other" });
      expect(renamed.status).toBe(managed ? 200 : seen ? 403 : 404);
      const revoked = await send(admin.token, "DELETE", path);
      expect(revoked.status).toBe(managed ? 204 : seen ? 403 : 404);
      const rest = await list(root, person.uuid);
      expect(rest.body).toHaveLength(managed ? 0 : 1);
    }
  });

  test("no token: 401", async ({ expect }) => {
    for (const [method, path] of [
      ["GET", "/me/tokens"],
      ["POST", "/me/tokens"],
      ["GET", `/me/tokens/${UNKNOWN}`],
      ["DELETE", `/me/tokens/${UNKNOWN}`],
    ] as const) {
      expectError(expect, await call(method, `${V0}/users${path}`), 401, "CLIENT_TOKEN_INVALID");
    }
  });
});

test("each costs one D1 round trip, a repeat one more", async ({ expect }) => {
  const person = await colleague();
  const one = { d1_round_trips: 1, object_hops: 0 };
  const { uuid } = (await make(person)).body;
  const cost = (method: string, path: string, body?: unknown, headers = {}) =>
    costOf(() => send(person.token, method, `/me/tokens${path}`, body, headers));
  expect(await cost("GET", "")).toMatchObject({ status: 200, ...one });
  expect(await cost("GET", `/${uuid}`)).toMatchObject({ status: 200, ...one });
  const key = { "idempotency-key": crypto.randomUUID() };
  expect(await cost("POST", "", { name: "a" }, key)).toMatchObject({ status: 201, ...one });
  const repeat = await cost("POST", "", { name: "a" }, key);
  expect(repeat).toMatchObject({ status: 201, d1_round_trips: 2 });
  expect(await cost("PATCH", `/${uuid}`, { name: "b" })).toMatchObject({ status: 200, ...one });
  expect(await cost("GET", "?revoked=true")).toMatchObject({ status: 200, ...one });
  expect(await cost("DELETE", `/${uuid}`)).toMatchObject({ status: 204, ...one });
});
