/** Customers: root administrators keep them, their own administrators see them. */
import { describe, test } from "vitest";
import { customers } from "../../../src/db/schema.ts";
import {
  createCustomerRoute,
  getCustomerRoute,
  listCustomersRoute,
  updateCustomerRoute,
} from "../../../src/identity/customers/contract.ts";
import { call, expectContract, expectError, V0 } from "../harness/client.ts";
import { createPerson, type Person } from "../harness/factories.ts";
import { costOf } from "../harness/instruments.ts";
import { auditOf, countOf, customerIdOf } from "../harness/rows.ts";

const root = await createPerson({ role: "root_admin" });
const UNKNOWN = "00000000-0000-4000-8000-000000000000";
const send = (who: Person, method: string, path = "", body?: unknown, headers = {}) =>
  call(method, `${V0}/customers${path}`, {
    token: who.token,
    headers,
    ...(body === undefined ? {} : { body }),
  });
const create = (body: unknown, headers = {}) => send(root, "POST", "", body, headers);

describe("POST /v0/customers", () => {
  test("a slug from the name, one that is asked for, one that is taken", async ({ expect }) => {
    const made = await create({ name: "Émile & Söhne" });
    expectContract(expect, made, createCustomerRoute, 201);
    expect(made.body).toMatchObject({ name: "Émile & Söhne", slug: "emile-sohne" });
    expect((await create({ name: "Émile & Söhne" })).body.slug).toMatch(/^emile-sohne-\w{8}$/);
    expect((await create({ name: "Labs", slug: "the-labs" })).body.slug).toBe("the-labs");
    expect((await create({ name: "Labs", slug: "the-labs" })).body.slug).toMatch(
      /^the-labs-\w{8}$/,
    );
    expect(await auditOf(made.body.uuid)).toEqual([
      expect.objectContaining({
        action: "customer_created",
        actor: root.uuid,
        subject_kind: "customer",
        customer_id: await customerIdOf(made.body.uuid),
      }),
    ]);
  });

  test.for([
    ["no name", {}, "name is required"],
    ["name empty", { name: "" }, "name must not be empty"],
    ["a slug in capitals", { name: "a", slug: "A" }, "slug must consist of lower-case ASCII"],
    ["the slug me", { name: "a", slug: "me" }, "slug must not be a UUID or `me`"],
  ] as const)("%s: 400", async ([, body, message], { expect }) => {
    const reply = await create(body);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.message).toContain(message);
  });

  test("repeated by its key: once", async ({ expect }) => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => create({ name: "Racers" }, headers)),
    );
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    const replayed = replies.filter(({ headers: h }) => h.get("idempotency-replayed") === "true");
    expect(replayed).toHaveLength(4);
    expect(await auditOf(replies[0]?.body.uuid)).toHaveLength(1);
  });
});

describe("list, view, update", () => {
  test("root administrators see all; others their own, and nothing says that there are more", async ({
    expect,
  }) => {
    const { body } = await create({ name: "Mine" });
    const other = (await create({ name: "Theirs" })).body;
    const admin = await createPerson({
      role: "customer_admin",
      customerId: await customerIdOf(body.uuid),
    });
    const own = await send(admin, "GET");
    expectContract(expect, own, listCustomersRoute, 200);
    expect(own.body).toEqual([body]);
    expect(own.headers.get("x-total-count")).toBe("1");
    expect((await send(admin, "GET", "?search=theirs")).body).toEqual([]);
    const all = await send(root, "GET", "?per_page=1");
    expect(all.headers.get("x-total-count")).toBe(String(await countOf(customers)));
    expect((await send(root, "GET", "?search=THEIRS")).body).toEqual([other]);
    expectContract(expect, await send(admin, "GET", `/${body.slug}`), getCustomerRoute, 200);
    for (const whom of [other.uuid, other.slug, UNKNOWN]) {
      const reply = await send(admin, "GET", `/${whom}`);
      expectError(expect, reply, 404, "RESOURCE_NOT_FOUND", `Customer with id ${whom} not found`);
    }
    expectError(expect, await send(admin, "POST", "", { name: "x" }), 403, "PERMISSION_DENIED");
    const renamed = await send(admin, "PATCH", `/${body.uuid}`, { name: "x" });
    expectError(expect, renamed, 403, "PERMISSION_DENIED", "Only root administrators can do this");
  });

  test("nobody else gets in", async ({ expect }) => {
    for (const [method, path] of [
      ["GET", ""],
      ["POST", ""],
      ["GET", `/${UNKNOWN}`],
      ["PATCH", `/${UNKNOWN}`],
    ] as const) {
      const reply = await call(method, `${V0}/customers${path}`);
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID");
      for (const role of ["user", "staff"] as const) {
        const refused = await send(await createPerson({ role }), method, path);
        expectError(expect, refused, 403, "PERMISSION_DENIED");
      }
    }
  });

  test("name and slug; If-Match; a taken slug", async ({ expect }) => {
    const { body, headers } = await create({ name: "Before" });
    const etag = headers.get("etag") ?? "";
    const path = `/${body.uuid}`;
    const slug = `after-${body.uuid.slice(0, 8)}`;
    const reply = await send(root, "PATCH", path, { name: "After", slug }, { "if-match": etag });
    expectContract(expect, reply, updateCustomerRoute, 200);
    expect(reply.body).toMatchObject({ name: "After", slug, created: body.created });
    const late = await send(root, "PATCH", path, { name: "Late" }, { "if-match": etag });
    expectError(expect, late, 412, "PRECONDITION_FAILED");
    const other = (await create({ name: "Other" })).body;
    const taken = await send(root, "PATCH", path, { slug: other.slug });
    const message = `Customer with slug '${other.slug}' already exists`;
    expectError(expect, taken, 409, "RESOURCE_ALREADY_EXISTS", message);
    expect((await send(root, "PATCH", path, { name: null, slug: null })).body.name).toBe("After");
    expectError(expect, await send(root, "PATCH", `/${UNKNOWN}`, {}), 404, "RESOURCE_NOT_FOUND");
    const events = await auditOf(body.uuid);
    expect(events.map(({ action, details }) => [action, JSON.parse(details)])).toEqual([
      ["customer_created", {}],
      ["customer_updated", { fields: ["name", "slug"] }],
      ["customer_updated", { fields: [] }],
    ]);
  });

  test("304 until it changes", async ({ expect }) => {
    const { body, headers } = await create({ name: "Same" });
    const known = { "if-none-match": headers.get("etag") ?? "" };
    expect((await send(root, "GET", `/${body.uuid}`, undefined, known)).status).toBe(304);
    await send(root, "PATCH", `/${body.uuid}`, {});
    expect((await send(root, "GET", `/${body.uuid}`, undefined, known)).status).toBe(200);
  });
});

test("each costs one D1 round trip, a repeat one more", async ({ expect }) => {
  const one = { d1_round_trips: 1, object_hops: 0 };
  const cost = (method: string, path: string, body?: unknown, headers = {}) =>
    costOf(() => send(root, method, path, body, headers));
  const { uuid } = (await create({ name: "Cost" })).body;
  for (const path of ["", "?search=cost", `/${uuid}`]) {
    expect(await cost("GET", path)).toMatchObject({ status: 200, ...one });
  }
  const key = { "idempotency-key": crypto.randomUUID() };
  expect(await cost("POST", "", { name: "Cost" }, key)).toMatchObject({ status: 201, ...one });
  const repeat = await cost("POST", "", { name: "Cost" }, key);
  expect(repeat).toMatchObject({ status: 201, d1_round_trips: 2 });
  expect(await cost("PATCH", `/${uuid}`, {})).toMatchObject({ status: 200, ...one });
  expect(await cost("PATCH", `/${UNKNOWN}`, {})).toMatchObject({ status: 404, ...one });
});
