/** Passwords: changing one's own, and links to set a new one. */
import { describe, test } from "vitest";
import { createPasswordLinkRoute } from "../../../src/identity/people/contract.ts";
import { call, expectContract, expectError, V0 } from "../harness/client.ts";
import { createPerson, type Person, signedIn } from "../harness/factories.ts";
import { auditOf, knowAddress } from "../harness/rows.ts";
import {
  admin,
  colleague,
  customerId,
  isIn,
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
} from "./team.ts";

describe("POST /v0/users/me/password", () => {
  const HOME = "192.0.2.1";
  const atHome = async () => {
    const person = await createPerson({ passwordHash: PASSWORD_HASH });
    await knowAddress(person, HOME);
    return person;
  };
  const change = (token: string, old_password: string, password: string) =>
    call("POST", `${V0}/users/me/password`, {
      token,
      headers: { "cf-connecting-ip": HOME },
      body: { old_password, password },
    });

  test("with the old one: this session stays, others end", async ({ expect }) => {
    const person = await atHome();
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
    const person = await atHome();
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
    const message = "An API token cannot change people, customers, passwords or tokens: sign in";
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
