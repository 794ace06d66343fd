/** People: who may manage whom, what each change does and undoes, and what races cannot do. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import type { Role } from "../../src/identity/actor.ts";
import { hashPassword } from "../../src/identity/password.ts";
import {
  createPasswordLinkRoute,
  createUserRoute,
  getOwnUserRoute,
  getUserRoute,
  listUsersRoute,
  updateUserRoute,
} from "../../src/identity/people/contract.ts";
import {
  auditOf,
  call,
  costOf,
  createCustomer,
  createJob,
  createPerson,
  expectContract,
  expectError,
  type Person,
  signedIn,
  V0,
} from "./harness.ts";

const PASSWORD = "correct horse battery";
const PASSWORD_HASH = await hashPassword(PASSWORD);
const UNKNOWN = "00000000-0000-4000-8000-000000000000";

/** There is always another one: nobody here is the last. */
const root = await createPerson({ role: "root_admin" });
const customerId = await createCustomer();
const admin = await createPerson({ role: "customer_admin", customerId });
const foreign = await createPerson();
const ownCustomer = await uuidOfCustomer(customerId);
const otherCustomer = await uuidOfCustomer(foreign.customerId);

async function uuidOfCustomer(id: number): Promise<string> {
  const row = await env.DB.prepare("SELECT uuid FROM customers WHERE id = ?").bind(id).first();
  return String(row?.uuid);
}

let serial = 0;
const newEmail = () => `person-${serial++}@example.com`;
const colleague = (role: Role = "user") => createPerson({ role, customerId });

type Options = { body?: unknown; headers?: Record<string, string> };
const send = (who: Person, method: string, path: string, options: Options = {}) =>
  call(method, `${V0}/users${path}`, { token: who.token, ...options });
const patch = (who: Person, whom: string, body: unknown, headers = {}) =>
  send(who, "PATCH", `/${whom}`, { body, headers });
const create = (who: Person, body: Record<string, unknown>, headers = {}) =>
  send(who, "POST", "", { body: { ...minimal(), ...body }, headers });
const minimal = () => ({
  email: newEmail(),
  name: "Ada Lovelace",
  password: PASSWORD,
  customer: ownCustomer,
});
const setPassword = (token: string, password: string) =>
  call("POST", "https://assay.test/password", { body: { token, password } });
const isIn = async ({ token }: { token: string }) =>
  (await call("GET", `${V0}/users/me`, { token })).status === 200;

async function signIn(username: string, password: string): Promise<number> {
  const form = new URLSearchParams({ grant_type: "password", username, password }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return (await call("POST", "https://assay.test/token", { body: form, headers })).status;
}

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
      ...{ email, name: "Ada Lovelace", slug: "ada", role: "staff", customer, locked: false },
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
    ["the slug me", { slug: "me" }, "slug must not be a UUID or the word me"],
  ] as const)("%s: 400", async ([, change, message], { expect }) => {
    const reply = await create(root, change);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.message).toContain(message);
  });

  test("passwords of 12 and of 128 code points, an e-mail address of 320", async ({ expect }) => {
    const email = `${"x".repeat(315)}@${serial++}.c`.slice(-320);
    for (const change of [
      { password: "é😀".repeat(6) },
      { password: "x".repeat(128) },
      { email },
    ]) {
      expect((await create(root, change)).status).toBe(201);
    }
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
    const { results } = await env.DB.prepare("SELECT uuid FROM users WHERE email = ?")
      .bind(email)
      .all();
    expect(results).toHaveLength(1);
    expect(await auditOf(String(results[0]?.uuid))).toHaveLength(1);
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
    const { results } = await env.DB.prepare(
      "SELECT facts, fingerprint FROM idempotency_keys",
    ).all();
    expect(JSON.stringify(results)).not.toContain(PASSWORD);
    // A deleted person's address is not to be found here for another day.
    expect(JSON.stringify(results)).not.toContain(body.email);
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
      expectError(expect, reply, 403, "PERMISSION_DENIED", "Nobody gives a role above their own");
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
    ["GET", `/${target.uuid}`],
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
        expectError(expect, reply, 403, "PERMISSION_DENIED", "The person's role is above yours");
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
      expectError(expect, above, 403, "PERMISSION_DENIED", "Nobody gives a role above their own");
      for (const customer of [otherCustomer, UNKNOWN]) {
        const moved = await patch(admin, uuid, { customer });
        const message = "Only root administrators move people between customers";
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
    const customer = await uuidOfCustomer(lab);
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
    const count = await env.DB.prepare(
      "SELECT count(*) AS n FROM users WHERE deleted_at IS NULL",
    ).first<{ n: number }>();
    expect(all.headers.get("x-total-count")).toBe(String(count?.n));
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
      expect(reply.body).toMatchObject({ uuid: person.uuid, role });
    }
  });

  test("nobody who was deleted in another isolate: 401", async ({ expect }) => {
    const person = await colleague();
    expect(await isIn(person)).toBe(true);
    const gone = "UPDATE users SET email = '', slug = uuid, deleted_at = 1 WHERE id = ?";
    await env.DB.prepare(gone).bind(person.id).run();
    expectError(expect, await send(person, "GET", "/me"), 401, "CLIENT_TOKEN_INVALID");
  });

  test("by UUID or slug; 304 until the person or the customer's name changes", async ({
    expect,
  }) => {
    const { body } = await create(root, { slug: `eve-${serial++}` });
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
    await patch(root, uuid, { password: PASSWORD, email: "ignored@example.com", slug: "ignored" });
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
      ...{ name: "First", locked: false },
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
      const { results } = await env.DB.prepare("SELECT 1 FROM sessions WHERE user_id = ?")
        .bind(person.id)
        .all();
      expect(results).toHaveLength(stays ? 1 : 0);
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
          [{ role: "user" }, "Nobody changes their own role"],
          [{ locked: true }, "Nobody locks themselves"],
          [{ password: PASSWORD }, "Change your own password at /v0/users/me/password"],
        ] as const) {
          const reply = await patch(person, whom, change);
          expectError(expect, reply, 403, "PERMISSION_DENIED");
          expect(reply.body.message).toContain(message);
        }
        const link = await send(person, "POST", `/${whom}/password-link`);
        expectError(expect, link, 403, "PERMISSION_DENIED");
        const gone = await send(person, "DELETE", `/${whom}`);
        expectError(expect, gone, 403, "PERMISSION_DENIED", "Nobody deletes themselves");
      }
    }
    const moved = await patch(root, "me", { customer: ownCustomer });
    const message = "Nobody moves themselves to another customer";
    expectError(expect, moved, 403, "PERMISSION_DENIED", message);
    const same = { name: "Root", role: "root_admin", locked: false };
    expect((await patch(root, "me", same)).status).toBe(200);
  });
});

describe("the last root administrator", () => {
  /** All others are locked meanwhile. */
  async function alone<T>(people: Person[], run: () => Promise<T>): Promise<T> {
    const ids = JSON.stringify(people.map(({ id }) => id));
    const others =
      "role = 'root_admin' AND locked = ?2 AND id NOT IN (SELECT value FROM json_each(?1))";
    const { results } = await env.DB.prepare(
      `UPDATE users SET locked = 1 WHERE ${others} RETURNING id`,
    )
      .bind(ids, 0)
      .all();
    try {
      return await run();
    } finally {
      for (const { id } of results) {
        await env.DB.prepare("UPDATE users SET locked = 0 WHERE id = ?").bind(id).run();
      }
    }
  }

  test.for([
    ["demote", "PATCH", { role: "user" }],
    ["lock", "PATCH", { locked: true }],
    ["delete", "DELETE", undefined],
  ] as const)("two %s each other at once: one stays", async ([, method, body], { expect }) => {
    const pair = [await colleague("root_admin"), await colleague("root_admin")] as const;
    await alone([...pair], async () => {
      // Known to this isolate as root administrators, whatever happens to their rows.
      for (const each of pair) expect(await isIn(each)).toBe(true);
      const [one, other] = pair;
      const replies = await Promise.all([
        send(one, method, `/${other.uuid}`, { body }),
        send(other, method, `/${one.uuid}`, { body }),
      ]);
      const { results } = await env.DB.prepare(
        "SELECT id FROM users WHERE role = 'root_admin' AND locked = 0 AND deleted_at IS NULL",
      ).all();
      expect(results).toHaveLength(1);
      const [first, second] = replies.map(({ status }) => status).sort();
      expect(first).toBeLessThan(300);
      expect([401, 403]).toContain(second);
    });
  });

  test("with a caller whose demotion is not known yet: 403 by the statement itself", async ({
    expect,
  }) => {
    const [one, other] = [await colleague("root_admin"), await colleague("root_admin")];
    await alone([one, other], async () => {
      expect(await isIn(other)).toBe(true);
      // As another isolate does it: this one still takes `other` for a root administrator.
      await env.DB.prepare("UPDATE users SET role = 'user' WHERE id = ?").bind(other.id).run();
      for (const [method, body] of [
        ["PATCH", { role: "staff" }],
        ["PATCH", { locked: true }],
        ["DELETE", undefined],
      ] as const) {
        const reply = await send(other, method, `/${one.uuid}`, { body });
        const message = "The last root administrator stays one, and is neither locked nor deleted";
        expectError(expect, reply, 403, "PERMISSION_DENIED", message);
      }
      expect((await patch(other, one.uuid, { name: "Named" })).status).toBe(200);
    });
  });
});

describe("DELETE /v0/users/{user}", () => {
  test("nothing personal is left, nothing lets in, and the jobs stay", async ({ expect }) => {
    const email = newEmail();
    const { body } = await create(root, { email, slug: `gone-${serial++}` });
    const row = await env.DB.prepare("SELECT id FROM users WHERE uuid = ?").bind(body.uuid).first();
    const person = { id: Number(row?.id), uuid: body.uuid };
    const token = await signedIn(person);
    const made = { token, body: { name: "script" } };
    const api = (await call("POST", `${V0}/users/me/tokens`, made)).body.token;
    const job = await createJob({}, { ...person, customerId, token });
    const etag = (await send(root, "GET", `/${body.uuid}`)).headers.get("etag") ?? "";
    const reply = await send(root, "DELETE", `/${body.slug}`, { headers: { "if-match": etag } });
    expect([reply.status, reply.text]).toEqual([204, ""]);
    expect(await isIn({ token })).toBe(false);
    expect(await isIn({ token: api })).toBe(false);
    expect(await signIn(email, PASSWORD)).toBe(400);
    for (const whom of [body.uuid, body.slug, body.uuid.replaceAll("-", "")]) {
      expectError(expect, await send(root, "GET", `/${whom}`), 404, "RESOURCE_NOT_FOUND");
    }
    const left = await env.DB.prepare(
      "SELECT email, name, slug, password_hash, locked, (SELECT count(*) FROM sessions WHERE user_id = users.id) AS sessions FROM users WHERE uuid = ?",
    )
      .bind(body.uuid)
      .first();
    expect(left).toEqual({
      email: "",
      name: "Deleted person",
      slug: body.uuid.replaceAll("-", ""),
      password_hash: "",
      locked: 1,
      sessions: 0,
    });
    const kept = await call("GET", `/jobs/${job.id}`, { token: admin.token });
    expect(kept.status).toBe(200);
    expect((await auditOf(body.uuid)).map(({ action }) => action)).toContain("user_deleted");
    expectError(expect, await send(root, "DELETE", `/${body.uuid}`), 404, "RESOURCE_NOT_FOUND");
  });
});

describe("POST /v0/users/me/password", () => {
  const change = (token: string, old: string, password: string) =>
    call("POST", `${V0}/users/me/password`, { token, body: { old_password: old, password } });

  test("with the old one: this session stays, others end", async ({ expect }) => {
    const person = await createPerson({ passwordHash: PASSWORD_HASH, email: newEmail() });
    const elsewhere = await signedIn(person);
    expect(await isIn({ token: elsewhere })).toBe(true);
    const reply = await change(person.token, PASSWORD, "another password");
    expect([reply.status, reply.text]).toEqual([204, ""]);
    expect([await isIn(person), await isIn({ token: elsewhere })]).toEqual([true, false]);
    const wrong = await change(person.token, PASSWORD, "yet another password");
    expectError(expect, wrong, 403, "PERMISSION_DENIED", "The old password is wrong");
    expect((await change(person.token, "another password", PASSWORD)).status).toBe(204);
    const events = await auditOf(person.uuid);
    expect(events.map(({ action }) => action)).toEqual(["password_changed", "password_changed"]);
    expect(JSON.stringify(events)).not.toContain("another password");
  });

  test("two at once with one old password: one counts", async ({ expect }) => {
    const person = await createPerson({ passwordHash: PASSWORD_HASH });
    const replies = await Promise.all([
      change(person.token, PASSWORD, "the first new one"),
      change(person.token, PASSWORD, "the second new one"),
    ]);
    expect(replies.map(({ status }) => status).sort()).toEqual([204, 403]);
  });

  test("not without a token, not with an API token, not for a short one", async ({ expect }) => {
    const person = await createPerson({ passwordHash: PASSWORD_HASH });
    const made = { token: person.token, body: { name: "script" } };
    const api = (await call("POST", `${V0}/users/me/tokens`, made)).body.token;
    const reply = await change(api, PASSWORD, "another password");
    const message = "An API token cannot change the password: sign in";
    expectError(expect, reply, 403, "PERMISSION_DENIED", message);
    const short = await change(person.token, PASSWORD, "short");
    expectError(expect, short, 400, "PARAMETER_INCORRECT_VALUE");
    expectError(expect, await change("x", PASSWORD, PASSWORD), 401, "CLIENT_TOKEN_INVALID");
  });
});

describe("links to set a password", () => {
  const linkFor = (who: Person, whom: string, headers = {}) =>
    send(who, "POST", `/${whom}/password-link`, { headers });
  const tokenIn = (url: string) => url.split("#")[1] ?? "";

  test("one sets a password once, ends all sessions, and needs no other token", async ({
    expect,
  }) => {
    const email = newEmail();
    const person = await createPerson({ customerId, email });
    const reply = await linkFor(admin, person.uuid);
    expectContract(expect, reply, createPasswordLinkRoute, 201);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect(reply.body.url).toMatch(/^https:\/\/assay\.test\/set-password#[\w.-]+$/);
    expect(Date.parse(reply.body.expiration) - Date.now()).toBeGreaterThan(23 * 3_600_000);
    expect(await isIn(person), "nothing has changed yet").toBe(true);
    const token = tokenIn(reply.body.url);
    expectError(expect, await setPassword(token, "short"), 400, "PARAMETER_INCORRECT_VALUE");
    expect((await setPassword(token, "another password")).status).toBe(204);
    expect(await isIn(person)).toBe(false);
    expect(await signIn(email, "another password")).toBe(200);
    const used = await setPassword(token, "yet another password");
    expectError(expect, used, 400, "PARAMETER_INCORRECT_VALUE");
    expect(used.body.error.details[0].field).toBe("token");
    expect((await auditOf(person.uuid)).map(({ action, actor }) => [action, actor])).toEqual([
      ["password_link_created", admin.uuid],
      ["password_changed", person.uuid],
    ]);
  });

  test("used twice at once: once", async ({ expect }) => {
    const person = await colleague();
    const token = tokenIn((await linkFor(root, person.uuid)).body.url);
    const replies = await Promise.all([
      setPassword(token, "the first new one"),
      setPassword(token, "the second new one"),
    ]);
    expect(replies.map(({ status }) => status).sort()).toEqual([204, 400]);
  });

  test("of an older password, of a locked or deleted person, or no link's: 400", async ({
    expect,
  }) => {
    const refused = async (token: string) =>
      expectError(
        expect,
        await setPassword(token, "another password"),
        400,
        "PARAMETER_INCORRECT_VALUE",
      );
    for (const spoil of [
      (uuid: string) => patch(root, uuid, { password: PASSWORD }),
      (uuid: string) => patch(root, uuid, { locked: true }),
      (uuid: string) => send(root, "DELETE", `/${uuid}`),
    ]) {
      const { uuid } = await colleague();
      const { url } = (await linkFor(root, uuid)).body;
      await spoil(uuid);
      await refused(tokenIn(url));
    }
    for (const token of [root.token, "rubbish", "a.b.c"]) await refused(token);
    const { uuid } = await colleague();
    await patch(root, uuid, { locked: true });
    expectError(expect, await linkFor(root, uuid), 403, "PERMISSION_DENIED");
  });

  test("not into what the person has become since: another role or customer, or unlocked again", async ({
    expect,
  }) => {
    for (const [changes, works] of [
      [[{ role: "root_admin" }], false],
      [[{ customer: otherCustomer }], false],
      [[{ locked: true }, { locked: false }], false],
      [[{ name: "New", role: "user", customer: ownCustomer, locked: false }], true],
    ] as const) {
      const { uuid } = await colleague();
      const { url } = (await linkFor(admin, uuid)).body;
      for (const change of changes) expect((await patch(root, uuid, change)).status).toBe(200);
      const reply = await setPassword(tokenIn(url), "another password");
      expect(reply.status, JSON.stringify(changes)).toBe(works ? 204 : 400);
    }
  });

  test("a link is no token for anything else", async ({ expect }) => {
    const { uuid } = await colleague();
    const token = tokenIn((await linkFor(root, uuid)).body.url);
    expectError(
      expect,
      await call("GET", `${V0}/users/me`, { token }),
      401,
      "CLIENT_TOKEN_INVALID",
    );
  });

  test("repeated by its key: the same link", async ({ expect }) => {
    const { uuid } = await colleague();
    const headers = { "idempotency-key": crypto.randomUUID() };
    const first = await linkFor(root, uuid, headers);
    const second = await linkFor(root, uuid, headers);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await auditOf(uuid)).toHaveLength(1);
    expect((await linkFor(root, uuid)).body.url).not.toBe(first.body.url);
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
