/** Changes that ask for a session, or for one signed in lately; and API tokens that only read. */

import { and, eq } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import { auditEvents, users } from "../../../src/db/schema.ts";
import { MINUTE_MS, systemClock } from "../../../src/lib/clock.ts";
import { call, expectError, V0 } from "../harness/client.ts";
import { createJob, createPerson, createSpec, HARDWARE, signedIn } from "../harness/factories.ts";
import { costOf } from "../harness/instruments.ts";
import { countOf, knowAddress, userRow } from "../harness/rows.ts";
import { colleague, minimal, newEmail, PASSWORD, PASSWORD_HASH, setPassword } from "./team.ts";

const ASKS_FOR_A_SESSION =
  "An API token cannot change people, customers, passwords or tokens: sign in";
const SIGN_IN_AGAIN = "Sign in again: this asks for a sign-in within the last 15 minutes";

async function administrator() {
  const email = newEmail();
  const person = await createPerson({ role: "root_admin", email, passwordHash: PASSWORD_HASH });
  await knowAddress(person, "192.0.2.1");
  return { ...person, email };
}

async function tokenOf(person: { token: string }, body: object = {}): Promise<string> {
  const made = { token: person.token, body: { name: "script", ...body } };
  return (await call("POST", `${V0}/users/me/tokens`, made)).body.token;
}

/** Every change of people, customers, passwords, links and tokens. */
async function changes(owner: { token: string }) {
  const { uuid } = await colleague();
  const own = (
    await call("POST", `${V0}/users/me/tokens`, {
      token: owner.token,
      body: { name: "another" },
    })
  ).body.uuid;
  return [
    ["POST", "/users", { ...minimal(), role: "root_admin" }],
    ["PATCH", `/users/${uuid}`, { name: "Other" }],
    ["PATCH", `/users/${uuid}`, { role: "root_admin" }],
    ["PATCH", `/users/${uuid}`, { password: PASSWORD }],
    ["PATCH", `/users/${uuid}`, { locked: true }],
    ["DELETE", `/users/${uuid}`],
    ["POST", `/users/${uuid}/password-link`],
    ["POST", "/users/me/password", { old_password: PASSWORD, password: PASSWORD }],
    ["POST", "/users/me/tokens", { name: "next" }],
    ["PATCH", `/users/me/tokens/${own}`, { name: "other" }],
    ["DELETE", `/users/me/tokens/${own}`],
    ["POST", "/users/me/keys", { name: "next" }],
    ["POST", "/customers", { name: "Labs" }],
    ["PATCH", "/customers/default", { name: "Labs" }],
  ] as const;
}

describe("an API token", () => {
  test("of a root administrator changes no person, customer, password, link or token", async ({
    expect,
  }) => {
    const admin = await administrator();
    const token = await tokenOf(admin);
    const people = await countOf(users);
    for (const [method, path, body] of await changes(admin)) {
      const reply = await call(method, V0 + path, { token, ...(body && { body }) });
      expectError(expect, reply, 403, "PERMISSION_DENIED", ASKS_FOR_A_SESSION);
    }
    expect(await countOf(users), "only the colleague of the test").toBe(people + 1);
    const refused = and(
      eq(auditEvents.actor, admin.uuid),
      eq(auditEvents.action, "permission_denied"),
    );
    expect(await countOf(auditEvents, refused), "noted once a minute").toBe(1);
  });

  test("reads them, and changes specs and runners", async ({ expect }) => {
    const token = await tokenOf(await administrator());
    for (const path of ["/users", "/users/me", "/users/me/tokens", "/customers", "/audit"]) {
      expect((await call("GET", V0 + path, { token })).status, path).toBe(200);
    }
    const spec = await call("POST", `${V0}/specs`, { token, body: { name: "Node", ...HARDWARE } });
    expect(spec.status).toBe(201);
    const body = { name: "Rack", slug: `rack-${crypto.randomUUID().slice(0, 8)}` };
    const runner = await call("POST", `${V0}/runners`, { token, body });
    expect(runner.status).toBe(201);
    const rotated = await call("POST", `${V0}/runners/${runner.body.uuid}/key`, { token });
    expect(rotated.status).toBe(201);
  });

  test("is refused before D1 is asked about the thing", async ({ expect }) => {
    const admin = await administrator();
    const token = await tokenOf(admin);
    await call("GET", `${V0}/users/me`, { token });
    const patch = () => call("PATCH", `${V0}/users/me`, { token, body: { name: "x" } });
    // A refusal is noted once a minute.
    await patch();
    expect(await costOf(patch)).toMatchObject({ status: 403, d1_round_trips: 0 });
  });

  test("has a scope, by default write, which every reply shows", async ({ expect }) => {
    const person = await colleague();
    const make = (body: object, headers = {}) =>
      call("POST", `${V0}/users/me/tokens`, {
        token: person.token,
        headers,
        body: { name: "s", ...body },
      });
    const headers = { "idempotency-key": "one" };
    const reading = await make({ scope: "read" }, headers);
    const writing = await make({});
    expect([reading.body.scope, writing.body.scope]).toEqual(["read", "write"]);
    expect((await make({ scope: "read" }, headers)).body).toEqual(reading.body);
    expectError(expect, await make({ scope: "write" }, headers), 422, "IDEMPOTENCY_KEY_REUSED");
    expectError(expect, await make({ scope: "all" }), 400, "PARAMETER_INCORRECT_VALUE");
    const one = await call("GET", `${V0}/users/me/tokens/${reading.body.uuid}`, {
      token: person.token,
    });
    expect(one.body.scope).toBe("read");
    const all = await call("GET", `${V0}/users/me/tokens`, { token: person.token });
    expect(all.body.map(({ scope }: { scope: string }) => scope)).toEqual(["read", "write"]);
  });

  test("of the scope read sends GET and HEAD alone, whatever its owner's role", async ({
    expect,
  }) => {
    const admin = await administrator();
    const token = await tokenOf(admin, { scope: "read" });
    const job = await createJob({}, admin);
    const spec = await createSpec();
    for (const [method, path] of [
      ["GET", "/jobs"],
      ["GET", `/jobs/${job.id}`],
      ["HEAD", `/jobs/${job.id}`],
      ["GET", "/tasks"],
      ["GET", `${V0}/users`],
      ["GET", `${V0}/specs/${spec.uuid}`],
    ] as const) {
      expect((await call(method, path, { token })).status, path).toBe(200);
    }
    const message = "This API token can only read: use one with the scope write";
    for (const [method, path, body] of [
      ["POST", "/jobs", { benchmarks: [] }],
      ["POST", `/jobs/${job.id}/abort`],
      ["POST", `/jobs/${job.id}/report`],
      ["DELETE", "/jobs/delete", { id: job.id }],
      ["PUT", "/baselines/l4/bf16_tflops", { value: 1 }],
      ["POST", `${V0}/specs`, { name: "Node", ...HARDWARE }],
      ["PATCH", `${V0}/specs/${spec.uuid}`, { name: "Other" }],
      ["DELETE", `${V0}/specs/${spec.uuid}`],
      ["POST", `${V0}/runners`, { name: "Rack" }],
      ["POST", `${V0}/users/me/tokens`, { name: "next" }],
    ] as const) {
      const reply = await call(method, path, { token, ...(body && { body }) });
      expectError(expect, reply, 403, "PERMISSION_DENIED", message);
    }
    expect((await call("GET", `/jobs/${job.id}`, { token })).body.state).toBe("created");
  });
});

describe("a session", () => {
  const change = (token: string, method: string, path: string, body?: object) =>
    call(method, `${V0}/users${path}`, { token, ...(body && { body }) });

  /** What gives rights away; each works on a person of its own. */
  const giveRights = async (token: string) => {
    const { uuid } = await colleague();
    return Promise.all([
      change(token, "POST", "", minimal()),
      change(token, "PATCH", `/${uuid}`, { role: "customer_admin" }),
      change(token, "PATCH", `/${uuid}`, { name: "x", password: PASSWORD }),
      change(token, "POST", `/${uuid}/password-link`),
    ]);
  };
  const statuses = async (replies: ReturnType<typeof giveRights>) =>
    (await replies).map(({ status }) => status);

  test("gives rights and passwords for 15 minutes from its sign-in, and manages people longer", async ({
    expect,
  }) => {
    const admin = await administrator();
    const now = systemClock.now();
    const young = await signedIn(admin, { at: now - 14 * MINUTE_MS });
    expect(await statuses(giveRights(young))).toEqual([201, 200, 200, 201]);
    const old = await signedIn(admin, { at: now - 15 * MINUTE_MS - 1_000 });
    for (const reply of await giveRights(old)) {
      expectError(expect, reply, 403, "PERMISSION_DENIED", SIGN_IN_AGAIN);
    }
    const { uuid, id } = await colleague();
    const before = await userRow({ id });
    await change(old, "PATCH", `/${uuid}`, { password: "another password", name: "Taken" });
    expect(await userRow({ id })).toEqual(before);
    const name = { name: "Other", locked: true, role: null, password: null };
    expect((await change(old, "PATCH", `/${uuid}`, name)).status).toBe(200);
    expect((await change(old, "DELETE", `/${uuid}`)).status).toBe(204);
    expect((await change(old, "POST", "/me/tokens", { name: "s" })).status).toBe(201);
  });

  test("is not younger for being refreshed, and a new sign-in is", async ({ expect }) => {
    const admin = await administrator();
    const clock = { now: systemClock.now() };
    vi.spyOn(systemClock, "now").mockImplementation(() => clock.now);
    onTestFinished(() => void vi.restoreAllMocks());
    const token = async (form: Record<string, string>) =>
      (
        await call("POST", "https://assay.test/token", {
          headers: {
            "content-type": "application/x-www-form-urlencoded",
            "cf-connecting-ip": "192.0.2.1",
          },
          body: new URLSearchParams(form).toString(),
        })
      ).body;
    const signIn = { grant_type: "password", username: admin.email, password: PASSWORD };
    let held = await token(signIn);
    for (let minute = 0; minute < 20; minute += 10) {
      clock.now += 10 * MINUTE_MS;
      held = await token({ grant_type: "refresh_token", refresh_token: held.refresh_token });
    }
    expect(await statuses(giveRights(held.access_token))).toEqual([403, 403, 403, 403]);
    const again = await token(signIn);
    expect(await statuses(giveRights(again.access_token))).toEqual([201, 200, 200, 201]);
  });

  test("of a person who may not do it is told so first", async ({ expect }) => {
    const person = await createPerson();
    const old = await signedIn(person, { at: systemClock.now() - 60 * MINUTE_MS });
    const reply = await change(old, "POST", "", minimal());
    const message = "Only administrators can do this";
    expectError(expect, reply, 403, "PERMISSION_DENIED", message);
    expect((await setPassword("x", PASSWORD)).status).toBe(400);
  });
});
