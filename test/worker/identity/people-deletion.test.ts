/** Deleting people, and the root administrator who must always be left. */
import { and, eq, isNull, notInArray } from "drizzle-orm";
import { describe, test } from "vitest";
import { sessions, users } from "../../../src/db/schema.ts";
import { call, expectError, V0 } from "../harness/client.ts";
import { createJob, type Person, signedIn } from "../harness/factories.ts";
import { auditOf, countOf, db, setUser, userRow } from "../harness/rows.ts";
import {
  admin,
  colleague,
  create,
  customerId,
  fresh,
  isIn,
  newEmail,
  PASSWORD,
  patch,
  root,
  send,
  signIn,
} from "./team.ts";

describe("the last root administrator", () => {
  /** All others are locked meanwhile. */
  async function alone<T>(people: Person[], run: () => Promise<T>): Promise<T> {
    const others = notInArray(
      users.id,
      people.map(({ id }) => id),
    );
    const locked = await db
      .update(users)
      .set({ locked: true })
      .where(and(eq(users.role, "root_admin"), eq(users.locked, false), others))
      .returning({ id: users.id });
    try {
      return await run();
    } finally {
      for (const each of locked) await setUser(each, { locked: false });
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
      const isRoot = and(eq(users.role, "root_admin"), eq(users.locked, false));
      expect(await countOf(users, and(isRoot, isNull(users.deletedAt)))).toBe(1);
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
      await setUser(other, { role: "user" });
      for (const [method, body] of [
        ["PATCH", { role: "staff" }],
        ["PATCH", { locked: true }],
        ["DELETE", undefined],
      ] as const) {
        const reply = await send(other, method, `/${one.uuid}`, { body });
        const message = "The last root administrator cannot be demoted, locked or deleted";
        expectError(expect, reply, 403, "PERMISSION_DENIED", message);
      }
      expect((await patch(other, one.uuid, { name: "Named" })).status).toBe(200);
    });
  });
});

describe("DELETE /v0/users/{user}", () => {
  test("nothing personal is left, nothing lets in, and the jobs stay", async ({ expect }) => {
    const email = newEmail();
    const { body } = await create(root, { email, slug: fresh("gone") });
    const person = { id: (await userRow(body)).id, uuid: body.uuid };
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
    expect(await userRow(body)).toMatchObject({
      email: "",
      name: "Deleted person",
      slug: body.uuid.replaceAll("-", ""),
      passwordHash: "",
      locked: true,
    });
    expect(await countOf(sessions, eq(sessions.userId, person.id))).toBe(0);
    const kept = await call("GET", `/jobs/${job.id}`, { token: admin.token });
    expect(kept.status).toBe(200);
    expect((await auditOf(body.uuid)).map(({ action }) => action)).toContain("user_deleted");
    expectError(expect, await send(root, "DELETE", `/${body.uuid}`), 404, "RESOURCE_NOT_FOUND");
  });
});
