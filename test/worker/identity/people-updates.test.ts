/** PATCH /v0/users/{user} as the published client sends it: slug, e-mail address and `admin`. */
import { describe, onTestFinished, test, vi } from "vitest";
import { updateUserRoute } from "../../../src/identity/people/contract.ts";
import { MINUTE_MS, systemClock } from "../../../src/lib/clock.ts";
import { expectContract, expectError } from "../harness/client.ts";
import { createPerson } from "../harness/factories.ts";
import { costOf } from "../harness/instruments.ts";
import { auditOf } from "../harness/rows.ts";
import {
  admin,
  colleague,
  create,
  fresh,
  newEmail,
  PASSWORD,
  patch,
  root,
  send,
  signIn,
} from "./team.ts";

describe("slug and e-mail address", () => {
  test("change, by the rules of creation; the new ones work and the old ones are free", async ({
    expect,
  }) => {
    const email = newEmail();
    const slug = fresh("old");
    const { uuid } = (await create(root, { email, slug })).body;
    const next = { slug: fresh("new"), email: `New.${newEmail()}` };
    const reply = await patch(root, uuid, next);
    expectContract(expect, reply, updateUserRoute, 200);
    expect(reply.body).toMatchObject({ uuid, ...next });
    expect((await send(root, "GET", `/${next.slug}`)).body).toEqual(reply.body);
    expect((await send(root, "GET", `/${slug}`)).status).toBe(404);
    expect(await signIn(next.email.toUpperCase(), PASSWORD), "compared without case").toBe(200);
    expect(await signIn(email, PASSWORD)).toBe(400);
    expect((await create(root, { email, slug })).body).toMatchObject({ email, slug });
    const [, updated] = await auditOf(uuid);
    expect(JSON.parse(updated?.details ?? "")).toEqual({ fields: ["slug", "email"] });
    expect(JSON.stringify(updated)).not.toContain(next.email);
  });

  test("one of one's own in other letters is no conflict", async ({ expect }) => {
    const email = newEmail();
    const { uuid, slug } = (await create(root, { email })).body;
    const same = await patch(root, uuid, { email: email.toUpperCase(), slug });
    expect([same.status, same.body.email]).toEqual([200, email.toUpperCase()]);
  });

  test("that are taken: 409, and nothing changes", async ({ expect }) => {
    const { body: other } = await create(root, { slug: fresh("taken") });
    const { body: person } = await create(root, {});
    for (const [body, message] of [
      [{ slug: other.slug }, `User with slug '${other.slug}' already exists`],
      [
        { email: other.email.toUpperCase() },
        `User with email '${other.email.toUpperCase()}' already exists`,
      ],
    ] as const) {
      const reply = await patch(root, person.uuid, { name: "Other", ...body });
      expectError(expect, reply, 409, "RESOURCE_ALREADY_EXISTS", message);
    }
    expect((await send(root, "GET", `/${person.uuid}`)).body).toEqual(person);
  });

  test.for([
    [{ slug: "me" }, "slug must not be a UUID or `me`, which have another meaning in paths"],
    [{ slug: "Ada" }, "slug must consist of lower-case ASCII letters and digits"],
    [{ email: "nobody" }, "email must be an e-mail address"],
    [{ email: "" }, "email must have at least 3 characters"],
    [{ admin: "true" }, "admin must be a boolean"],
  ] as const)("%j: 400", async ([body, message], { expect }) => {
    const { uuid } = await colleague();
    const reply = await patch(root, uuid, body);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.message).toContain(message);
  });
});

describe("admin", () => {
  test("true makes a root administrator, false makes one a user", async ({ expect }) => {
    const { uuid } = await createPerson({ role: "staff" });
    const made = await patch(root, uuid, { admin: true });
    expectContract(expect, made, updateUserRoute, 200);
    expect(made.body).toMatchObject({ role: "root_admin", admin: true });
    const ended = await patch(root, uuid, { admin: false });
    expect(ended.body).toMatchObject({ role: "user", admin: false });
    const details = (await auditOf(uuid)).map((event) => JSON.parse(event.details));
    expect(details).toEqual([
      { fields: ["admin"], admin: true },
      { fields: ["admin"], admin: false },
    ]);
  });

  test("false leaves everyone else as they are; null leaves everyone", async ({ expect }) => {
    for (const role of ["user", "customer_admin", "staff"] as const) {
      const { uuid } = await createPerson({ role });
      for (const value of [false, null]) {
        const reply = await patch(root, uuid, { admin: value });
        expect([reply.status, reply.body.role], `${value}`).toEqual([200, role]);
      }
    }
  });

  test("beside a role: 400 if they contradict each other, else the role", async ({ expect }) => {
    const { uuid } = await colleague();
    for (const [admin, role] of [
      [true, "staff"],
      [false, "root_admin"],
    ] as const) {
      const reply = await patch(root, uuid, { admin, role });
      const message = `admin contradicts the role ${role}: send one of the two`;
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
      expect(reply.body.error.details).toEqual([
        { field: "admin", message: `contradicts the role ${role}: send one of the two` },
      ]);
    }
    expect((await patch(root, uuid, { admin: false, role: "staff" })).body.role).toBe("staff");
    expect((await patch(root, uuid, { admin: true, role: "root_admin" })).body.admin).toBe(true);
  });

  test("true is refused to whoever may not grant the role", async ({ expect }) => {
    const { uuid } = await colleague();
    const reply = await patch(admin, uuid, { admin: true });
    const message = "You cannot grant a role higher than your own";
    expectError(expect, reply, 403, "PERMISSION_DENIED", message);
    expect((await patch(admin, uuid, { admin: false })).status).toBe(200);
  });

  test("nobody ends their own rights", async ({ expect }) => {
    const reply = await patch(root, root.uuid, { admin: false });
    const message = "You cannot change your own role";
    expectError(expect, reply, 403, "PERMISSION_DENIED", message);
    expect((await patch(root, root.uuid, { admin: true })).status).toBe(200);
  });
});

test("asks for a sign-in of the last 15 minutes, except for a slug", async ({ expect }) => {
  const boss = await createPerson({ role: "root_admin" });
  const { uuid } = await colleague();
  expect((await send(boss, "GET", "/me")).status).toBe(200);
  const clock = vi.spyOn(systemClock, "now").mockReturnValue(Date.now() + 16 * MINUTE_MS);
  onTestFinished(() => clock.mockRestore());
  const message = "Sign in again: this asks for a sign-in within the last 15 minutes";
  for (const body of [{ email: newEmail() }, { admin: true }, { admin: false }]) {
    expectError(expect, await patch(boss, uuid, body), 403, "PERMISSION_DENIED", message);
  }
  const nulls = { slug: fresh("late"), email: null, admin: null };
  expect((await patch(boss, uuid, nulls)).status).toBe(200);
});

test("all of it in one round trip", async ({ expect }) => {
  const { uuid } = await colleague();
  await send(root, "GET", "/me");
  const body = { slug: fresh("one"), email: newEmail(), admin: true };
  expect(await costOf(() => patch(root, uuid, body))).toMatchObject({
    status: 200,
    d1_round_trips: 1,
  });
});
