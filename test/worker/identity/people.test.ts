/** People: who may manage whom, what each change does and undoes, and what races cannot do. */
import { eq, isNull } from "drizzle-orm";
import { describe, test } from "vitest";
import { idempotencyKeys, sessions, users } from "../../../src/db/schema.ts";
import {
  createUserRoute,
  getOwnUserRoute,
  getUserRoute,
  listUsersRoute,
  updateUserRoute,
} from "../../../src/identity/people/contract.ts";
import { call, expectContract, expectError, V0 } from "../harness/client.ts";
import { createCustomer, createPerson } from "../harness/factories.ts";
import { costOf } from "../harness/instruments.ts";
import { auditOf, countOf, customerUuid, db, setUser } from "../harness/rows.ts";
import {
  admin,
  colleague,
  create,
  customerId,
  foreign,
  fresh,
  isIn,
  minimal,
  newEmail,
  otherCustomer,
  ownCustomer,
  PASSWORD,
  PASSWORD_HASH,
  patch,
  root,
  send,
  setPassword,
  signIn,
  UNKNOWN,
} from "./team.ts";

describe("POST /v0/users", () => {
  test("what is given and what is not; the person signs in at once", async ({ expect }) => {
    const email = newEmail();
    const full = await create(root, {
      email,
      role: "staff",
      slug: "ada",
      customer: `customer-${otherCustomer}`,
    });
    expectContract(expect, full, createUserRoute, 201);
    const { uuid, created, modified, ...rest } = full.body;
    const customer = {
      uuid: otherCustomer,
      name: `customer-${otherCustomer}`,
      slug: `customer-${otherCustomer}`,
    };
    expect(rest).toEqual({
      email,
      name: "Ada Lovelace",
      slug: "ada",
      role: "staff",
      admin: false,
      customer,
      locked: false,
    });
    expect(modified).toBe(created);
    expect(await signIn(email.toUpperCase(), PASSWORD)).toBe(200);
    const least = await create(admin, {});
    expectContract(expect, least, createUserRoute, 201);
    expect(least.body).toMatchObject({ role: "user", slug: "ada-lovelace" });
    expect((await create(admin, { slug: "ada" })).body.slug).toMatch(/^ada-[a-z0-9]{8}$/);
    expect(await auditOf(uuid)).toEqual([
      expect.objectContaining({
        action: "user_created",
        actor_kind: "user",
        actor: root.uuid,
        subject_kind: "user",
        customer_id: foreign.customerId,
        request_id: full.headers.get("x-request-id"),
        details: '{"role":"staff"}',
      }),
    ]);
  });

  test.for([
    ["no e-mail", { email: undefined }, "email is required"],
    ["no @", { email: "ada" }, "email must be an e-mail address"],
    ["white space", { email: "a da@example.com" }, "email must be an e-mail address"],
    ["two @", { email: "a@b@c" }, "email must be an e-mail address"],
    [
      "321 characters",
      { email: `${"x".repeat(317)}@b.c` },
      "email must have at most 320 characters",
    ],
    ["11 characters", { password: "x".repeat(11) }, "password must have at least 12 characters"],
    ["129 characters", { password: "x".repeat(129) }, "password must have at most 128 characters"],
    ["an unknown role", { role: "king" }, "role must be one of user, customer_admin, staff"],
    ["a name of 65 bytes", { name: "x".repeat(65) }, "name must have at most 64 characters"],
    ["no customer", { customer: undefined }, "customer is required"],
    ["the slug me", { slug: "me" }, "slug must not be a UUID or `me`"],
  ] as const)("%s: 400", async ([, change, message], { expect }) => {
    const reply = await create(root, change);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.message).toContain(message);
  });

  test("passwords of 12 and of 128 code points, an e-mail address of 320", async ({ expect }) => {
    const email = newEmail().padStart(320, "x");
    for (const change of [
      { password: "é😀".repeat(6) },
      { password: "x".repeat(128) },
      { email },
    ]) {
      expect((await create(root, change)).status).toBe(201);
    }
  });

  test("an e-mail address of any script is one, however it is written", async ({ expect }) => {
    const name = fresh("mer");
    const email = `ö${name}@example.com`;
    const { body, status } = await create(root, { email });
    expect([status, body.email]).toEqual([201, email]);
    for (const other of [email.toUpperCase(), email.normalize("NFD"), `ö${name}＠example.com`]) {
      const reply = await create(root, { email: other });
      const refused = other.includes("＠") ? 400 : 409;
      expect([reply.status, await signIn(other, PASSWORD)], other).toEqual([refused, 200]);
      const found = await send(root, "GET", `?search=${encodeURIComponent(other)}`);
      expect(found.body.map(({ uuid }: { uuid: string }) => uuid)).toEqual([body.uuid]);
    }
    const race = fresh("race");
    const replies = await Promise.all(
      [`é${race}@a.b`, `É${race}@A.B`, `e\u0301${race}@a.b`].map((each) =>
        create(root, { email: each }),
      ),
    );
    expect(replies.map((reply) => reply.status).sort()).toEqual([201, 409, 409]);
  });

  test("an e-mail address that is taken, in whatever case: 409; free again once deleted", async ({
    expect,
  }) => {
    const email = newEmail();
    const { body } = await create(root, { email });
    const again = { email: email.toUpperCase() };
    const message = `User with email '${email.toUpperCase()}' already exists`;
    expectError(expect, await create(root, again), 409, "RESOURCE_ALREADY_EXISTS", message);
    expect((await send(root, "DELETE", `/${body.uuid}`)).status).toBe(204);
    expect((await create(root, again)).status).toBe(201);
  });

  test("twenty at once with one e-mail address: one is created", async ({ expect }) => {
    const email = newEmail();
    const replies = await Promise.all(Array.from({ length: 20 }, () => create(root, { email })));
    const statuses = replies.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
    const made = await db.select().from(users).where(eq(users.email, email));
    expect(made).toHaveLength(1);
    expect(await auditOf(String(made[0]?.uuid))).toHaveLength(1);
  });

  test("repeated by its key: once, with the first reply; another body: 422", async ({ expect }) => {
    const body = minimal();
    const headers = { "idempotency-key": crypto.randomUUID() };
    const first = await send(admin, "POST", "", { body, headers });
    const second = await send(admin, "POST", "", { body, headers });
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(second.headers.get("etag")).toBe(first.headers.get("etag"));
    const other = await send(admin, "POST", "", { body: { ...body, name: "B" }, headers });
    expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
    const keys = JSON.stringify(await db.select().from(idempotencyKeys));
    expect(keys).not.toContain(PASSWORD);
    // A deleted person's address is not to be found here for another day.
    expect(keys).not.toContain(body.email);
  });

  test("a refused request leaves its key free", async ({ expect }) => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const body = { ...minimal(), customer: "no-such-customer" };
    const reply = await send(root, "POST", "", { body, headers });
    expectError(
      expect,
      reply,
      404,
      "RESOURCE_NOT_FOUND",
      "Customer with id no-such-customer not found",
    );
    const later = await send(root, "POST", "", { body: minimal(), headers });
    expect(later.status).toBe(201);
  });

  test("an administrator of a customer: own customer only, up to the own role", async ({
    expect,
  }) => {
    for (const role of ["user", "customer_admin"]) {
      expect((await create(admin, { role })).status).toBe(201);
    }
    for (const role of ["staff", "root_admin"]) {
      const reply = await create(admin, { role });
      expectError(
        expect,
        reply,
        403,
        "PERMISSION_DENIED",
        "You cannot grant a role higher than your own",
      );
    }
    for (const customer of [otherCustomer, UNKNOWN]) {
      const message = `Customer with id ${customer} not found`;
      expectError(expect, await create(admin, { customer }), 404, "RESOURCE_NOT_FOUND", message);
    }
  });
});

const target = await colleague();

describe("who may", () => {
  const routes = [
    ["GET", ""],
    ["POST", ""],
    ["PATCH", `/${target.uuid}`],
    ["DELETE", `/${target.uuid}`],
    ["POST", `/${target.uuid}/password-link`],
  ] as const;

  test.for(routes)(
    "%s /v0/users%s: no token 401, user and staff 403",
    async (route, { expect }) => {
      const [method, path] = route;
      const options = method === "POST" || method === "PATCH" ? { body: {} } : {};
      expectError(
        expect,
        await call(method, `${V0}/users${path}`, options),
        401,
        "CLIENT_TOKEN_INVALID",
      );
      for (const role of ["user", "staff"] as const) {
        const reply = await send(await colleague(role), method, path, options);
        expectError(expect, reply, 403, "PERMISSION_DENIED", "Only administrators can do this");
      }
    },
  );

  test("people of other customers are as unknown ones to an administrator of a customer", async ({
    expect,
  }) => {
    for (const whom of [foreign.uuid, UNKNOWN, "no-such-slug"]) {
      for (const [method, path, body] of [
        ["GET", "", undefined],
        ["PATCH", "", { role: "user" }],
        ["DELETE", "", undefined],
        ["POST", "/password-link", undefined],
      ] as const) {
        const reply = await send(admin, method, `/${whom}${path}`, { body });
        expectError(expect, reply, 404, "RESOURCE_NOT_FOUND", `User with id ${whom} not found`);
      }
    }
    expect((await send(root, "GET", `/${foreign.uuid}`)).status).toBe(200);
  });

  test("whose role is above theirs they see, and do not touch", async ({ expect }) => {
    for (const role of ["staff", "root_admin"] as const) {
      const { uuid } = await colleague(role);
      expect((await send(admin, "GET", `/${uuid}`)).body.role).toBe(role);
      for (const [method, path, body] of [
        ["PATCH", "", { name: "New" }],
        ["PATCH", "", { role: "user" }],
        ["PATCH", "", { password: PASSWORD }],
        ["DELETE", "", undefined],
        ["POST", "/password-link", undefined],
      ] as const) {
        const reply = await send(admin, method, `/${uuid}${path}`, { body });
        expectError(
          expect,
          reply,
          403,
          "PERMISSION_DENIED",
          "The person's role is higher than yours",
        );
      }
      expect(await auditOf(uuid)).toEqual([]);
    }
  });

  test("an administrator of a customer manages equals and those below", async ({ expect }) => {
    for (const role of ["user", "customer_admin"] as const) {
      const { uuid } = await colleague(role);
      expect((await patch(admin, uuid, { name: "New", role: "customer_admin" })).status).toBe(200);
      expect((await patch(admin, uuid, { customer: ownCustomer })).status).toBe(200);
      const above = await patch(admin, uuid, { role: "staff" });
      expectError(
        expect,
        above,
        403,
        "PERMISSION_DENIED",
        "You cannot grant a role higher than your own",
      );
      for (const customer of [otherCustomer, UNKNOWN]) {
        const moved = await patch(admin, uuid, { customer });
        const message = "Only root administrators can move people between customers";
        expectError(expect, moved, 403, "PERMISSION_DENIED", message);
      }
      expect((await send(admin, "DELETE", `/${uuid}`)).status).toBe(204);
    }
  });
});

describe("GET /v0/users", () => {
  test("an administrator of a customer sees its people; totals follow every change", async ({
    expect,
  }) => {
    const lab = await createCustomer();
    const boss = await createPerson({ role: "customer_admin", customerId: lab });
    const total = async () => {
      const reply = await send(boss, "GET", "?sort=created&per_page=1");
      expectContract(expect, reply, listUsersRoute, 200);
      return Number(reply.headers.get("x-total-count"));
    };
    expect(await total()).toBe(1);
    const customer = await customerUuid(lab);
    const { body } = await create(boss, { customer, name: "Éva" });
    expect(await total()).toBe(2);
    const search = await send(boss, "GET", `?search=${body.email.toUpperCase()}`);
    expect(search.body.map(({ uuid }: { uuid: string }) => uuid)).toEqual([body.uuid]);
    expect((await send(boss, "GET", "?name=Éva")).headers.get("x-total-count")).toBe("1");
    expect((await send(boss, "GET", "?search=%25")).body).toEqual([]);
    const link = search.headers.get("link");
    expect(link).toContain('rel="last"');
    await patch(root, body.uuid, { customer: otherCustomer });
    expect(await total()).toBe(1);
    await patch(root, body.uuid, { customer });
    expect(await total()).toBe(2);
    await send(boss, "DELETE", `/${body.uuid}`);
    expect(await total()).toBe(1);
    const all = await send(root, "GET", "");
    const people = await countOf(users, isNull(users.deletedAt));
    expect(all.headers.get("x-total-count")).toBe(String(people));
  });

  test("the links lead through all of them and back", async ({ expect }) => {
    const lab = await createCustomer();
    const boss = await createPerson({ role: "customer_admin", customerId: lab });
    for (let n = 0; n < 4; n++) await createPerson({ customerId: lab });
    const linkOf = (header: string | null, relation: string) =>
      new RegExp(`<([^>]*)>; rel="${relation}"`).exec(header ?? "")?.[1] ?? null;
    for (const query of ["sort=name", "sort=created&direction=desc"]) {
      const seen: string[] = [];
      let next: string | null = `${V0}/users?per_page=2&${query}`;
      let last = "";
      while (next !== null) {
        last = next;
        const reply = await call("GET", next, { token: boss.token });
        seen.push(...reply.body.map(({ uuid }: { uuid: string }) => uuid));
        next = linkOf(reply.headers.get("link"), "next");
      }
      expect(new Set(seen).size).toBe(5);
      const end = await call("GET", last, { token: boss.token });
      const prev = linkOf(end.headers.get("link"), "prev");
      const back = await call("GET", prev ?? "", { token: boss.token });
      expect(back.body.map(({ uuid }: { uuid: string }) => uuid)).toEqual(seen.slice(2, 4));
    }
  });
});

describe("GET /v0/users/me and /v0/users/{user}", () => {
  test("everyone sees themselves", async ({ expect }) => {
    for (const role of ["user", "customer_admin", "staff", "root_admin"] as const) {
      const person = await colleague(role);
      const reply = await send(person, "GET", "/me");
      expectContract(expect, reply, getOwnUserRoute, 200);
      expect(reply.body).toMatchObject({ uuid: person.uuid, role, admin: role === "root_admin" });
      for (const whom of [person.uuid, reply.body.slug]) {
        const named = await send(person, "GET", `/${whom}`);
        expectContract(expect, named, getUserRoute, 200);
        expect(named.body).toEqual(reply.body);
      }
    }
  });

  test("who manages nobody sees no one else, whether they are there or not: 403", async ({
    expect,
  }) => {
    for (const role of ["user", "staff"] as const) {
      const person = await colleague(role);
      for (const whom of [target.uuid, UNKNOWN, "no-such-slug"]) {
        const message = "Only administrators can do this for others";
        const reply = await send(person, "GET", `/${whom}`);
        expectError(expect, reply, 403, "PERMISSION_DENIED", message);
      }
    }
  });

  test("nobody who was deleted in another isolate: 401", async ({ expect }) => {
    const person = await colleague();
    expect(await isIn(person)).toBe(true);
    await setUser(person, { email: "", slug: person.uuid, deletedAt: 1 });
    expectError(expect, await send(person, "GET", "/me"), 401, "CLIENT_TOKEN_INVALID");
  });

  test("by UUID or slug; 304 until the person or the customer's name changes", async ({
    expect,
  }) => {
    const { body } = await create(root, { slug: fresh("eve") });
    const bySlug = await send(root, "GET", `/${body.slug}`);
    expectContract(expect, bySlug, getUserRoute, 200);
    const etag = bySlug.headers.get("etag") ?? "";
    const known = () => send(root, "GET", `/${body.uuid}`, { headers: { "if-none-match": etag } });
    expect((await known()).status).toBe(304);
    const renamed = { token: root.token, body: {} };
    expect((await call("PATCH", `${V0}/customers/${ownCustomer}`, renamed)).status).toBe(200);
    expect((await known()).status).toBe(200);
  });
});

describe("PATCH /v0/users/{user}", () => {
  test("what is given; null and absent stay; the trail says which fields, and no secret", async ({
    expect,
  }) => {
    const { uuid } = await colleague();
    const change = { name: "New", role: "customer_admin", customer: otherCustomer, locked: true };
    const reply = await patch(root, uuid, change);
    expectContract(expect, reply, updateUserRoute, 200);
    expect(reply.body).toMatchObject({ ...change, customer: { uuid: otherCustomer } });
    const nulls = { name: null, role: null, customer: null, locked: null, password: null };
    const same = await patch(root, uuid, nulls);
    const { modified: _then, ...before } = reply.body;
    const { modified: _now, ...after } = same.body;
    expect(after).toEqual(before);
    await patch(root, uuid, { password: PASSWORD, unknown: "ignored" });
    const details = (await auditOf(uuid)).map((event) => JSON.parse(event.details));
    expect(details).toEqual([
      { fields: ["name", "role", "customer", "locked"], role: "customer_admin", locked: true },
      { fields: [] },
      { fields: ["password"] },
    ]);
  });

  test("If-Match: 412 for another version, nothing is changed or written down", async ({
    expect,
  }) => {
    const { uuid } = await colleague();
    const etag = (await send(root, "GET", `/${uuid}`)).headers.get("etag") ?? "";
    const first = await patch(root, uuid, { name: "First" }, { "if-match": `W/${etag}` });
    expect(first.status).toBe(200);
    const late = await patch(root, uuid, { locked: true }, { "if-match": etag });
    expectError(expect, late, 412, "PRECONDITION_FAILED");
    expect((await send(root, "GET", `/${uuid}`)).body).toMatchObject({
      name: "First",
      locked: false,
    });
    const gone = await send(root, "DELETE", `/${uuid}`, { headers: { "if-match": etag } });
    expectError(expect, gone, 412, "PRECONDITION_FAILED");
    expect(await auditOf(uuid)).toHaveLength(1);
  });

  test("locking and another password end all sessions at once; a name or a role none", async ({
    expect,
  }) => {
    for (const [change, stays] of [
      [{ name: "New" }, true],
      [{ role: "customer_admin" }, true],
      [{ locked: true }, false],
      [{ password: PASSWORD }, false],
    ] as const) {
      const person = await colleague();
      expect(await isIn(person)).toBe(true);
      expect((await patch(admin, person.uuid, change)).status).toBe(200);
      expect(await isIn(person), JSON.stringify(change)).toBe(stays);
      expect(await countOf(sessions, eq(sessions.userId, person.id))).toBe(stays ? 1 : 0);
    }
  });

  test("another role holds at once", async ({ expect }) => {
    const person = await colleague("customer_admin");
    expect((await send(person, "GET", "")).status).toBe(200);
    await patch(root, person.uuid, { role: "user" });
    expectError(expect, await send(person, "GET", ""), 403, "PERMISSION_DENIED");
  });

  test("a password set by an administrator signs in, the old one does not", async ({ expect }) => {
    const email = newEmail();
    const { body } = await create(root, { email });
    await patch(root, body.uuid, { password: "another password" });
    expect(await signIn(email, PASSWORD)).toBe(400);
    expect(await signIn(email, "another password")).toBe(200);
  });

  test("nobody changes what keeps them in check", async ({ expect }) => {
    for (const person of [root, admin]) {
      for (const whom of ["me", person.uuid]) {
        for (const [change, message] of [
          [{ role: "user" }, "You cannot change your own role"],
          [{ locked: true }, "You cannot lock yourself"],
          [{ password: PASSWORD }, "Change your own password at /v0/users/me/password"],
        ] as const) {
          const reply = await patch(person, whom, change);
          expectError(expect, reply, 403, "PERMISSION_DENIED");
          expect(reply.body.message).toContain(message);
        }
        const link = await send(person, "POST", `/${whom}/password-link`);
        expectError(expect, link, 403, "PERMISSION_DENIED");
        const gone = await send(person, "DELETE", `/${whom}`);
        expectError(expect, gone, 403, "PERMISSION_DENIED", "You cannot delete yourself");
      }
    }
    const moved = await patch(root, "me", { customer: ownCustomer });
    const message = "You cannot move yourself to another customer";
    expectError(expect, moved, 403, "PERMISSION_DENIED", message);
    const same = { name: "Root", role: "root_admin", locked: false };
    expect((await patch(root, "me", same)).status).toBe(200);
  });
});

describe("D1 round trips, with the caller's row cached", () => {
  const one = { d1_round_trips: 1, object_hops: 0 };

  test("each route", async ({ expect }) => {
    expect(await isIn(root)).toBe(true);
    const { uuid } = await colleague();
    const cost = (method: string, path: string, body?: unknown, headers = {}) =>
      costOf(() => send(root, method, path, { body, headers }));
    for (const path of ["", "?search=ada", "/me", `/${uuid}`]) {
      expect(await cost("GET", path), path).toMatchObject({ status: 200, ...one });
    }
    const key = { "idempotency-key": crypto.randomUUID() };
    const body = minimal();
    expect(await cost("POST", "", body, key)).toMatchObject({ status: 201, ...one });
    const repeat = await cost("POST", "", body, key);
    expect(repeat).toMatchObject({ status: 201, d1_round_trips: 2 });
    expect(await cost("POST", "", body)).toMatchObject({ status: 409, ...one });
    const change = { locked: false, password: PASSWORD, customer: otherCustomer };
    expect(await cost("PATCH", `/${uuid}`, change)).toMatchObject({ status: 200, ...one });
    expect(await cost("PATCH", `/${UNKNOWN}`, change)).toMatchObject({ status: 404, ...one });
    expect(await cost("POST", `/${uuid}/password-link`)).toMatchObject({ status: 201, ...one });
    expect(await cost("DELETE", `/${uuid}`)).toMatchObject({ status: 204, ...one });
  });

  test("the own password: two; a link: one, or none for no link", async ({ expect }) => {
    const person = await createPerson({ passwordHash: PASSWORD_HASH, customerId });
    expect(await isIn(person)).toBe(true);
    const body = { old_password: PASSWORD, password: "another password" };
    const own = await costOf(() => send(person, "POST", "/me/password", { body }));
    expect(own).toMatchObject({ status: 204, d1_round_trips: 2 });
    const { url } = (await send(root, "POST", `/${person.uuid}/password-link`)).body;
    const used = await costOf(() => setPassword(url.split("#")[1], PASSWORD));
    expect(used).toMatchObject({ status: 204, ...one });
    const none = await costOf(() => setPassword("a.b.c", PASSWORD));
    expect(none).toMatchObject({ status: 400, d1_round_trips: 0 });
  });
});
