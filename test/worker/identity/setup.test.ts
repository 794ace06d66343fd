/** The first administrator of a deployment, made without a terminal. */
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { appDeps, call, type Json, randomAddress } from "../harness/client.ts";

const SETUP_TOKEN = "Vt0mYw3rXq8nKc5zLh2bJf7sPd9gRa4e";
const PERSON = {
  email: "ada@example.com",
  name: "Ada Lovelace",
  password: "correct horse battery",
};

async function setUp(body: object, token: string | null = SETUP_TOKEN, d1 = env.DB) {
  const config = readConfig({ ...env, SETUP_TOKEN: token ?? "" });
  const app = await createApp(appDeps({ config, d1 }));
  const request = new Request("https://assay.test/setup", {
    method: "POST",
    headers: { "content-type": "application/json", "cf-connecting-ip": randomAddress() },
    body: JSON.stringify(body),
  });
  const reply = await app.fetch(request, env);
  return { status: reply.status, body: (await reply.json()) as Json };
}

async function dropAdministrators(): Promise<void> {
  await env.DB.prepare("UPDATE users SET deleted_at = 1 WHERE role = 'root_admin'").run();
}

async function rootAdmins(): Promise<number> {
  const count = "SELECT count(*) AS n FROM users WHERE role = 'root_admin' AND deleted_at IS NULL";
  return (await env.DB.prepare(count).first<{ n: number }>())?.n ?? 0;
}

describe("POST /setup", () => {
  test("creates one administrator, of many who try at once, and is gone then", async () => {
    await dropAdministrators();
    const attempts = Array.from({ length: 8 }, (_, each) =>
      setUp({ ...PERSON, email: `ada${each}@example.com`, token: SETUP_TOKEN }),
    );
    const replies = await Promise.all(attempts);
    expect(replies.map(({ status }) => status).sort()).toEqual([201, ...Array(7).fill(404)]);
    expect(await rootAdmins()).toBe(1);
    const [created] = replies.filter(({ status }) => status === 201);
    expect(created?.body).toMatchObject({ role: "root_admin", name: "Ada Lovelace" });
    const username = created?.body.email;
    const form = new URLSearchParams({
      grant_type: "password",
      username,
      password: PERSON.password,
    });
    const signedIn = await call("POST", "https://assay.test/token", {
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: String(form),
    });
    expect(signedIn.status, signedIn.text).toBe(200);
    const audit = await env.DB.prepare(
      "SELECT details FROM audit_events WHERE action = 'user_created' AND subject = ?",
    )
      .bind(created?.body.uuid)
      .all();
    expect(audit.results).toEqual([{ details: '{"role":"root_admin"}' }]);
  });

  test("is 404 without the secret, and with any token once there is an administrator", async () => {
    await dropAdministrators();
    expect((await setUp({ ...PERSON, token: SETUP_TOKEN }, null)).status).toBe(404);
    expect(await rootAdmins()).toBe(0);
    const first = { ...PERSON, email: "first@example.com", token: SETUP_TOKEN };
    expect((await setUp(first)).status).toBe(201);
    expect((await setUp({ ...PERSON, email: "x@example.com", token: SETUP_TOKEN })).status).toBe(
      404,
    );
    expect((await setUp({ ...PERSON, email: "x@example.com", token: "wrong" })).status).toBe(404);
    expect(await rootAdmins()).toBe(1);
  });

  test("another token is 403, and creates nobody", async () => {
    await dropAdministrators();
    const reply = await setUp({ ...PERSON, token: `${SETUP_TOKEN}x` });
    expect(reply.status).toBe(403);
    expect(reply.body.message).toBe("This is not the SETUP_TOKEN of this deployment");
    expect(await rootAdmins()).toBe(0);
  });

  test("the address of somebody who is there already is 409", async () => {
    await dropAdministrators();
    const email = "kept@example.com";
    expect((await setUp({ ...PERSON, email, token: SETUP_TOKEN })).status).toBe(201);
    await env.DB.prepare("UPDATE users SET role = 'user' WHERE email = ?").bind(email).run();
    expect((await setUp({ ...PERSON, email, token: SETUP_TOKEN })).status).toBe(409);
    expect((await setUp({ ...PERSON, email: "next@example.com", token: SETUP_TOKEN })).status).toBe(
      201,
    );
  });

  test("a lost reply: 503, and the repeat finds the administrator", async () => {
    await dropAdministrators();
    const d1 = {
      ...env.DB,
      prepare: env.DB.prepare.bind(env.DB),
      withSession: () => d1,
      async batch(statements: D1PreparedStatement[]) {
        await env.DB.batch(statements);
        throw new Error("Network connection lost.");
      },
    } as unknown as D1Database;
    const lost = await setUp(
      { ...PERSON, email: "lost@example.com", token: SETUP_TOKEN },
      SETUP_TOKEN,
      d1,
    );
    expect(lost.status).toBe(503);
    expect(await rootAdmins()).toBe(1);
    expect((await setUp({ ...PERSON, email: "lost@example.com", token: SETUP_TOKEN })).status).toBe(
      404,
    );
  });

  test.each([
    ["email", { email: "" }],
    ["name", { name: "" }],
    ["password", { password: "short" }],
    ["token", { token: "" }],
  ])("names %s when it is wrong", async (field, wrong) => {
    const { status, body } = await setUp({ ...PERSON, token: SETUP_TOKEN, ...wrong });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain(`"field":"${field}"`);
  });

  test("a guessable secret stops the Worker", async () => {
    const short = { ...env, SETUP_TOKEN: "short" };
    expect(() => readConfig(short)).toThrow("SETUP_TOKEN must have at least 32 characters");
  });
});
