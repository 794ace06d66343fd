/** POST /token, and which token opens which door. */
import { env } from "cloudflare:workers";
import { decodeJwt, SignJWT } from "jose";
import { describe, test } from "vitest";
import { signInFailures } from "../../../src/db/schema.ts";
import { hashPassword, verifyPassword } from "../../../src/identity/password-hash.ts";
import { createTokens } from "../../../src/identity/tokens.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { call, expectError, poll, tokens } from "../harness/client.ts";
import { createJob, createPerson } from "../harness/factories.ts";
import { hashAsDeployed } from "../harness/passwords.ts";
import { db, setUser } from "../harness/rows.ts";

const EMAIL = "Someone@Example.com";
const PASSWORD = "a password with Ünïcode";
await createPerson({ email: EMAIL, passwordHash: await hashPassword(PASSWORD) });

async function signIn(
  fields: Record<string, string> | string,
  headers: Record<string, string> = {},
) {
  // As if the last try were long ago.
  await db.delete(signInFailures);
  return call("POST", "https://assay.test/token", {
    headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
    body: typeof fields === "string" ? fields : new URLSearchParams(fields).toString(),
  });
}

describe("POST /token", () => {
  test("answers a bearer token that opens the API", async ({ expect }) => {
    const reply = await signIn({ grant_type: "password", username: EMAIL, password: PASSWORD });
    expect(reply.status, reply.text).toBe(200);
    expect(reply.body).toEqual({
      access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      token_type: "bearer",
      expires_in: 3600,
      refresh_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
    });
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const list = await call("GET", "/jobs", { token: reply.body.access_token });
    expect(list.status).toBe(200);
  });

  test("e-mail addresses are compared without case, passwords by their normal form", async ({
    expect,
  }) => {
    const username = EMAIL.toUpperCase();
    const password = PASSWORD.normalize("NFD");
    expect((await signIn({ grant_type: "password", username, password })).status).toBe(200);
  });

  test.for([
    ["no grant type", { username: EMAIL, password: PASSWORD }, "invalid_request"],
    ["another grant type", { grant_type: "client_credentials" }, "unsupported_grant_type"],
    ["no username", { grant_type: "password", password: PASSWORD }, "invalid_request"],
    ["no password", { grant_type: "password", username: EMAIL }, "invalid_request"],
    [
      "wrong password",
      { grant_type: "password", username: EMAIL, password: "wrong" },
      "invalid_grant",
    ],
    [
      "unknown person",
      { grant_type: "password", username: "x@y.z", password: PASSWORD },
      "invalid_grant",
    ],
    [
      "a field twice",
      `grant_type=password&username=${EMAIL}&password=a&password=b`,
      "invalid_request",
    ],
    ["an empty body", "", "invalid_request"],
    [
      "an empty grant type",
      { grant_type: "", username: EMAIL, password: PASSWORD },
      "invalid_request",
    ],
    [
      "an empty password",
      { grant_type: "password", username: EMAIL, password: "" },
      "invalid_request",
    ],
    [
      "an unknown field twice",
      `grant_type=password&username=${EMAIL}&password=a&scope=b&scope=c`,
      "invalid_request",
    ],
    [
      "a body that is too long",
      `grant_type=password&password=${"x".repeat(17_000)}`,
      "invalid_request",
    ],
  ] as const)("%s: the error of RFC 6749", async ([, fields, error], { expect }) => {
    const reply = await signIn(fields);
    expect(reply.status, reply.text).toBe(400);
    expect(reply.body).toEqual({ error, error_description: expect.any(String) });
    expect(reply.headers.get("cache-control")).toBe("no-store");
  });

  test.for(["application/json", "multipart/form-data; boundary=x", "text/plain"])(
    "%s instead of a form",
    async (type, { expect }) => {
      const reply = await signIn("{}", { "content-type": type });
      expect(reply.status).toBe(400);
      expect(reply.body).toEqual({
        error: "invalid_request",
        error_description:
          "The body must be a form, with Content-Type: application/x-www-form-urlencoded",
      });
      expect(reply.headers.get("cache-control")).toBe("no-store");
    },
  );

  test("unknown and wrong answer the same", async ({ expect }) => {
    const wrong = await signIn({ grant_type: "password", username: EMAIL, password: "wrong" });
    const unknown = await signIn({
      grant_type: "password",
      username: "no@one.here",
      password: "wrong",
    });
    expect(unknown.text).toBe(wrong.text);
  });

  test("a locked person neither signs in nor gets in with an older token", async ({ expect }) => {
    const person = await createPerson({
      email: "locked@example.com",
      passwordHash: await hashPassword(PASSWORD),
    });
    await setUser(person, { locked: true });
    const reply = await signIn({
      grant_type: "password",
      username: "locked@example.com",
      password: PASSWORD,
    });
    expect(reply.body.error).toBe("invalid_grant");
    expectError(
      expect,
      await call("GET", "/jobs", { token: person.token }),
      401,
      "CLIENT_TOKEN_INVALID",
    );
  });
});

describe("tokens", () => {
  const person = createPerson();

  async function forge(
    change: {
      typ?: string;
      aud?: string;
      iss?: string;
      exp?: number;
      secret?: string;
      alg?: string;
    },
    headerKid?: string,
  ) {
    const secret = change.secret ?? env.TOKEN_SECRET;
    const kid = headerKid ?? (await tokens()).signingKeyId;
    const { sid } = decodeJwt((await person).token);
    return new SignJWT({ sid })
      .setProtectedHeader({ alg: change.alg ?? "HS256", typ: change.typ ?? "user+jwt", kid })
      .setSubject((await person).uuid)
      .setIssuer(change.iss ?? "assay")
      .setAudience(change.aud ?? "assay:user")
      .setExpirationTime(change.exp ?? Math.floor(Date.now() / 1_000) + 60)
      .sign(new TextEncoder().encode(secret));
  }

  test("a token forged with everything right opens the door: the forgeries below fail for their one fault", async ({
    expect,
  }) => {
    expect((await call("GET", "/jobs", { token: await forge({}) })).status).toBe(200);
  });

  test.for([
    ["another typ", { typ: "job+jwt" }],
    ["no typ of ours", { typ: "JWT" }],
    ["another audience", { aud: "assay:job" }],
    ["another issuer", { iss: "somebody" }],
    ["expired", { exp: 1 }],
    ["another secret", { secret: "another-secret-of-at-least-thirty-two-characters" }],
    ["another algorithm", { alg: "HS512", secret: "x".repeat(64) }],
  ] as const)("%s: 401", async ([, change], { expect }) => {
    const reply = await call("GET", "/jobs", { token: await forge(change) });
    expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Invalid or expired token");
    expect(reply.headers.get("www-authenticate")).toBe("Bearer");
  });

  test("alg none, an unknown key id, and rubbish: 401", async ({ expect }) => {
    const [, payload] = (await forge({})).split(".");
    const none = btoa(JSON.stringify({ alg: "none", typ: "user+jwt" })).replaceAll("=", "");
    for (const token of [`${none}.${payload}.`, await forge({}, "other"), "rubbish", "a.b.c"]) {
      expectError(expect, await call("GET", "/jobs", { token }), 401, "CLIENT_TOKEN_INVALID");
    }
  });

  test("no header, another scheme, an empty token: 401 that says what is needed", async ({
    expect,
  }) => {
    const message = "A token is required: send it as Authorization: Bearer <token>";
    expectError(expect, await call("GET", "/jobs"), 401, "CLIENT_TOKEN_INVALID", message);
    for (const authorization of ["Basic abc", "Bearer ", "Bearer"]) {
      const reply = await call("GET", "/jobs", { headers: { authorization } });
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", message);
    }
  });

  test("a user's token on a node route, and the reverse: 401", async ({ expect }) => {
    const job = await createJob();
    for (const [method, path] of [
      ["GET", "/jobs/current"],
      ["POST", "/jobs/current/tasks"],
      ["PATCH", "/jobs/current/tasks/1"],
      ["PUT", "/jobs/current/tasks/1/results/0"],
    ] as const) {
      const reply = await call(method, path, {
        token: job.owner.token,
        ...(method === "GET" ? {} : { body: {} }),
      });
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID");
    }
    for (const [method, path] of [
      ["GET", "/jobs"],
      ["POST", "/jobs"],
      ["GET", `/jobs/${job.id}`],
      ["GET", `/jobs/${job.id}/results`],
      ["POST", `/jobs/${job.id}/abort`],
      ["GET", "/benchmarks"],
    ] as const) {
      const reply = await call(method, path, { token: job.token });
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID");
    }
  });

  test("two secrets overlap: the old one still verifies, and a job's token stays as it was", async ({
    expect,
  }) => {
    const [older, newer] = ["o".repeat(40), "n".repeat(40)] as const;
    const before = await createTokens([older], systemClock);
    const during = await createTokens([newer, older], systemClock);
    const after = await createTokens([newer], systemClock);
    const now = Date.now();
    const lasting = { from: now, until: now + 1_000_000 };
    const token = await before.sign("user", { sub: "someone", sid: "a session" }, lasting);
    expect(await during.verify("user", token)).toEqual({ sub: "someone", sid: "a session" });
    expect(await after.verify("user", token)).toBeNull();
    expect(during.signingKeyId).toBe(after.signingKeyId);
    const facts = ["job", { sub: "512" }, lasting, before.signingKeyId] as const;
    expect(await during.derive(...facts)).toBe(await before.derive(...facts));
    expect(await during.verify("job", await before.derive(...facts))).toEqual({ sub: "512" });
  });

  test("a job token dies with the job's expiry", async ({ expect }) => {
    const signer = await tokens();
    const lasted = { from: 0, until: Date.now() - 1_000 };
    const expired = await signer.derive("job", { sub: "3584" }, lasted, signer.signingKeyId);
    const reply = await poll({ token: expired });
    expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID");
  });
});

test("password hashes carry their parameters and a salt", async ({ expect }) => {
  hashAsDeployed();
  const [one, two] = [await hashPassword(PASSWORD), await hashPassword(PASSWORD)];
  expect(one).toMatch(/^\$scrypt\$ln=14,r=8,p=5\$[\w-]{22}\$[\w-]{43}$/);
  expect(two).not.toBe(one);
  expect(await verifyPassword(PASSWORD, one)).toBe(true);
  expect(await verifyPassword(`${PASSWORD} `, one)).toBe(false);
  expect(await verifyPassword("", null)).toBe(false);
});
