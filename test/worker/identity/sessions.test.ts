/** Staying signed in, signing out, and password hashes. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { decodeJwt } from "jose";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { auditEvents } from "../../../src/db/schema.ts";
import { hashPassword, isOutdated, verifyPassword } from "../../../src/identity/password-hash.ts";
import { Identity } from "../../../src/identity/service.ts";
import { loginRoute } from "../../../src/identity/sign-in/contract.ts";
import { HOUR_MS, MINUTE_MS, SECOND_MS, systemClock } from "../../../src/lib/clock.ts";
import {
  appDeps,
  call,
  expectContract,
  expectError,
  randomAddress,
  tokens,
} from "../harness/client.ts";
import { createPerson, signedIn } from "../harness/factories.ts";
import { hashAsDeployed } from "../harness/passwords.ts";
import { db, setUser, userRow } from "../harness/rows.ts";

const PASSWORD = "correct horse battery staple";
const passwordHash = hashPassword(PASSWORD);

/** Everybody signs in from one address, which is known after the first time. */
const homes = new Map<string, string>();

async function person() {
  const email = `${crypto.randomUUID()}@example.com`;
  homes.set(email, randomAddress());
  return { email, ...(await createPerson({ email, passwordHash: await passwordHash })) };
}

function post(path: string, form: Record<string, string>) {
  const home = homes.get(form.username ?? "");
  return call("POST", `https://assay.test${path}`, {
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      ...(home === undefined ? {} : { "cf-connecting-ip": home }),
    },
    body: new URLSearchParams(form).toString(),
  });
}

const signIn = (username: string, password = PASSWORD) =>
  post("/token", { grant_type: "password", username, password });
const refresh = (refresh_token: string) =>
  post("/token", { grant_type: "refresh_token", refresh_token });
const opens = async (token: string) => (await call("GET", "/jobs", { token })).status === 200;

/** Time that the test moves. */
function movableClock() {
  const real = systemClock.now();
  const clock = { now: real };
  vi.spyOn(systemClock, "now").mockImplementation(() => clock.now);
  onTestFinished(() => void vi.restoreAllMocks());
  return clock;
}

/** An isolate that has cached nothing yet, as another one would be. */
async function elsewhere() {
  const app = await createApp(appDeps());
  return (token: string) =>
    app.request("https://assay.test/api/silicon-mark/v1/jobs", {
      headers: { authorization: `Bearer ${token}` },
    });
}

async function audited(action: string, actor: string) {
  const events = await db.select().from(auditEvents).where(eq(auditEvents.actor, actor));
  return events.filter((event) => event.action === action).sort((a, b) => a.id - b.id);
}

describe("refresh tokens", () => {
  test("one changes for the next two tokens, which work", async ({ expect }) => {
    const { email } = await person();
    const first = (await signIn(email)).body;
    const reply = await refresh(first.refresh_token);
    expect(reply.status, reply.text).toBe(200);
    expect(Object.keys(reply.body).sort()).toEqual([
      ...["access_token", "expires_in", "refresh_token", "token_type"],
    ]);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect(reply.body.refresh_token).not.toBe(first.refresh_token);
    expect(await opens(reply.body.access_token)).toBe(true);
    expect((await refresh(reply.body.refresh_token)).status).toBe(200);
  });

  test("a used one seen again ends the session: no token of it works any more", async ({
    expect,
  }) => {
    const { email, uuid, customerId } = await person();
    const first = (await signIn(email)).body;
    const second = (await refresh(first.refresh_token)).body;
    expect(await opens(second.access_token)).toBe(true);
    const reused = await refresh(first.refresh_token);
    expect(reused.status).toBe(400);
    expect(reused.body.error).toBe("invalid_grant");
    expect((await refresh(second.refresh_token)).status).toBe(400);
    expect(await opens(second.access_token)).toBe(false);
    expect(await opens(first.access_token)).toBe(false);
    expect(await audited("refresh_token_reused", uuid)).toEqual([
      expect.objectContaining({ customerId }),
    ]);
  });

  test("one used twice at the same time: one wins, and the session ends", async ({ expect }) => {
    const { email } = await person();
    const { refresh_token } = (await signIn(email)).body;
    const replies = await Promise.all([refresh(refresh_token), refresh(refresh_token)]);
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 400]);
    const won = replies.find(({ status }) => status === 200)?.body.refresh_token;
    expect((await refresh(won)).status).toBe(400);
  });

  test("other sessions of the person go on", async ({ expect }) => {
    const { email } = await person();
    const [one, other] = [(await signIn(email)).body, (await signIn(email)).body];
    await refresh(one.refresh_token);
    await refresh(one.refresh_token);
    expect((await refresh(other.refresh_token)).status).toBe(200);
  });

  test("it lives 30 days from the last change, and not longer", async ({ expect }) => {
    const clock = movableClock();
    const { email } = await person();
    let { refresh_token } = (await signIn(email)).body;
    clock.now += 29 * 24 * HOUR_MS;
    ({ refresh_token } = (await refresh(refresh_token)).body);
    clock.now += 29 * 24 * HOUR_MS;
    ({ refresh_token } = (await refresh(refresh_token)).body);
    clock.now += 30 * 24 * HOUR_MS + SECOND_MS;
    expect((await refresh(refresh_token)).body.error).toBe("invalid_grant");
  });

  test("no other token refreshes, and a refresh token opens nothing", async ({ expect }) => {
    const { email } = await person();
    const { access_token, refresh_token } = (await signIn(email)).body;
    for (const token of [access_token, "rubbish", `${refresh_token}x`]) {
      expect((await refresh(token)).body.error).toBe("invalid_grant");
    }
    expectError(
      expect,
      await call("GET", "/jobs", { token: refresh_token }),
      401,
      "CLIENT_TOKEN_INVALID",
    );
    expect((await post("/token", { grant_type: "refresh_token" })).body.error).toBe(
      "invalid_request",
    );
  });

  test("a person who is locked, or gone, gets no next one", async ({ expect }) => {
    for (const change of [{ locked: true }, { deletedAt: 1 }]) {
      const { email, id } = await person();
      const { refresh_token } = (await signIn(email)).body;
      await setUser({ id }, change);
      expect((await refresh(refresh_token)).status).toBe(400);
    }
  });
});

describe("signing out", () => {
  test("ends the session, at once here and within 30 s elsewhere; 200 for any token", async ({
    expect,
  }) => {
    const clock = movableClock();
    const { email, uuid, customerId } = await person();
    const { access_token, refresh_token } = (await signIn(email)).body;
    const other = await elsewhere();
    expect((await other(access_token)).status).toBe(200);
    expect(await opens(access_token)).toBe(true);
    for (const form of [{ other: "x" }, { token: "" }]) {
      const reply = await post("/token/revoke", form);
      const refusal = { error: "invalid_request", error_description: "token is required" };
      expect([reply.status, reply.body]).toEqual([400, refusal]);
    }
    expect(await opens(access_token), "nothing was named").toBe(true);
    for (const token of [refresh_token, refresh_token, "rubbish"]) {
      const reply = await post("/token/revoke", { token });
      expect([reply.status, reply.text]).toEqual([200, ""]);
      expect(reply.headers.get("cache-control")).toBe("no-store");
    }
    expect(await opens(access_token)).toBe(false);
    expect((await refresh(refresh_token)).status).toBe(400);
    clock.now += 30 * SECOND_MS;
    expect((await other(access_token)).status).toBe(401);
    expect(await audited("signed_out", uuid)).toMatchObject([{ customerId }]);
  });
});

test("who changes while they are looked up is not remembered as they were", async ({ expect }) => {
  const { id, uuid: userUuid, token } = await createPerson();
  const credential = { kind: "session" as const, userUuid, uuid: String(decodeJwt(token).sid) };
  const identity = new Identity({ tokens: await tokens(), clock: systemClock });
  /** A database that is slow: the change is over before what was read before it arrives. */
  const prepare = (query: string) => ({
    bind: (...values: unknown[]) => ({
      raw: async () => {
        const rows = await env.DB.prepare(query)
          .bind(...values)
          .raw();
        await setUser({ id }, { locked: true });
        identity.forget(userUuid);
        return rows;
      },
    }),
  });
  const slow = { prepare, batch: env.DB.batch } as unknown as D1Database;
  expect(await identity.actorOf(openDatabase(slow, createMeter()), credential)).not.toBeNull();
  expect(await identity.actorOf(openDatabase(env.DB, createMeter()), credential)).toBeNull();
});

describe("POST /api/user/login", () => {
  const login = (body: unknown) => call("POST", "https://assay.test/api/user/login", { body });

  test("answers what existing scripts read, and no more", async ({ expect }) => {
    const { email, uuid } = await person();
    const reply = await login({ email: email.toUpperCase(), password: PASSWORD });
    expect(reply.status, reply.text).toBe(200);
    expect(reply.body).toEqual({
      data: { id_token: expect.any(String), token_type: "bearer", expires_in: 3600 },
    });
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect(decodeJwt(reply.body.data.id_token).sub).toBe(uuid);
    expect(await opens(reply.body.data.id_token)).toBe(true);
    expectContract(expect, reply, loginRoute, 200);
  });

  test("wrong credentials are 401, whatever is wrong with them", async ({ expect }) => {
    const { email } = await person();
    const bodies = [
      { email, password: "wrong" },
      { email: "nobody@example.com", password: PASSWORD },
    ];
    const replies = [];
    for (const body of bodies) replies.push(await login(body));
    for (const reply of replies) {
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Wrong e-mail address or password");
    }
  });

  test("a body without them is 400 and names the field", async ({ expect }) => {
    const reply = await login({ email: "a@example.com" });
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.error.details[0].field).toBe("password");
  });
});

describe("the audit log", () => {
  test("a sign-in is in it: who, when, in which request, from where", async ({ expect }) => {
    const { email, uuid, customerId } = await person();
    const reply = await call("POST", "https://assay.test/token", {
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "cf-connecting-ip": "192.0.2.77",
        "x-request-id": "the-request",
      },
      body: new URLSearchParams({
        grant_type: "password",
        username: email,
        password: PASSWORD,
      }).toString(),
    });
    expect(await audited("signed_in", uuid)).toEqual([
      {
        id: expect.any(Number),
        at: expect.any(Number),
        action: "signed_in",
        actorKind: "user",
        actor: uuid,
        subjectKind: "session",
        subject: decodeJwt(reply.body.access_token).sid,
        customerId,
        requestId: "the-request",
        address: "192.0.2.77",
        details: {},
      },
    ]);
  });

  test("it can be added to, and no more", async ({ expect }) => {
    await signIn((await person()).email);
    for (const statement of ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"]) {
      await expect(env.DB.prepare(statement).run()).rejects.toThrow(/audit events are never/);
    }
  });

  test("a token of another kind, and a refused act: once a minute each", async ({ expect }) => {
    const clock = movableClock();
    const user = await createPerson();
    for (let n = 0; n < 3; n++) {
      await call("GET", "/jobs/current", { token: user.token });
      await call("GET", "https://assay.test/v0/specs", { token: user.token });
    }
    const [wrongKind] = await audited("wrong_token_kind", user.uuid);
    expect(wrongKind).toMatchObject({
      subjectKind: "operation",
      subject: "GET /api/silicon-mark/v1/jobs/current",
    });
    expect(await audited("wrong_token_kind", user.uuid)).toHaveLength(1);
    expect(await audited("permission_denied", user.uuid)).toHaveLength(1);
    clock.now += MINUTE_MS;
    const token = await signedIn(user);
    await call("GET", "https://assay.test/v0/specs", { token });
    expect(await audited("permission_denied", user.uuid)).toHaveLength(2);
  });
});

describe("password hashes", () => {
  const PEPPER = "p".repeat(40);

  test("with a pepper they need it, and say so", async ({ expect }) => {
    hashAsDeployed();
    const stored = await hashPassword(PASSWORD, PEPPER);
    expect(stored).toMatch(/^\$scrypt\$ln=14,r=8,p=5,pepper=1\$/);
    expect(await verifyPassword(PASSWORD, stored, PEPPER)).toBe(true);
    expect(await verifyPassword("other", stored, PEPPER)).toBe(false);
    expect(await verifyPassword(PASSWORD, stored, "q".repeat(40))).toBe(false);
    expect(await verifyPassword(PASSWORD, stored, null)).toBe(false);
    expect(await verifyPassword(PASSWORD, await passwordHash, PEPPER)).toBe(true);
  });

  test("smaller parameters, or none of the pepper, are outdated", async ({ expect }) => {
    expect(isOutdated(await passwordHash, null)).toBe(false);
    expect(isOutdated(await passwordHash, PEPPER)).toBe(true);
    expect(isOutdated("$scrypt$ln=13,r=8,p=5$AAAA$AAAA", null)).toBe(true);
  });

  test("a sign-in stores an outdated one anew, and the password stays", async ({ expect }) => {
    const { email, id } = await person();
    const app = await createApp(
      appDeps({ config: { ...appDeps().config, passwordPepper: PEPPER } }),
    );
    const peppered = () =>
      app.request("https://assay.test/token", {
        method: "POST",
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          "cf-connecting-ip": homes.get(email) ?? "",
        },
        body: new URLSearchParams({
          grant_type: "password",
          username: email,
          password: PASSWORD,
        }).toString(),
      });
    expect((await peppered()).status).toBe(200);
    expect((await userRow({ id })).passwordHash).toContain("pepper=1");
    expect((await peppered()).status).toBe(200);
    expect((await signIn(email)).status).toBe(400);
  });
});
