/** The origin that links name: configured, routed by the platform, or of this machine; never one that a client made up. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { drawReport } from "../../../src/reports/drawing/draw-report.ts";
import { loadFonts } from "../../../src/reports/fonts.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import { sampleReport } from "../../reports/samples.ts";
import { appDeps } from "../harness/client.ts";
import { createPerson, createSpec } from "../harness/factories.ts";

type Config = Partial<Record<"PUBLIC_ORIGIN" | "ENVIRONMENT", string>>;

/** Calls an app with these settings as a client at this address that names this host. */
async function clientOf(config: Config, host: string, address = "192.0.2.7") {
  const app = await createApp(appDeps({ config: readConfig({ ...env, ...config }) }));
  return async (
    path: string,
    token: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const reply = await app.fetch(
      new Request(`${host}${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          "cf-connecting-ip": address,
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
      env,
      createExecutionContext(),
    );
    // Bodies are read as the contracts say.
    return { headers: reply.headers, body: (await reply.json()) as Record<string, string | null> };
  };
}

const LOCAL = { ENVIRONMENT: "development" };
const JOBS = "/api/silicon-mark/v1/jobs";
const JOB = { benchmarks: ["quick_mark"] };

describe("the origin", () => {
  test.for([
    [
      "PUBLIC_ORIGIN, whatever the host",
      { PUBLIC_ORIGIN: "https://assay.example" },
      "https://evil.example",
      "192.0.2.7",
      "https://assay.example",
    ],
    [
      "in its usual form",
      { ...LOCAL, PUBLIC_ORIGIN: "HTTPS://Assay.Example:443" },
      "http://localhost",
      "127.0.0.1",
      "https://assay.example",
    ],
    [
      "the host by which the platform has routed",
      {},
      "https://a.workers.dev",
      "192.0.2.7",
      "https://a.workers.dev",
    ],
    ["none of a text that is no host name", {}, "https://a$(id).example", "192.0.2.7", null],
    [
      "this machine's name, for a caller on it",
      LOCAL,
      "http://localhost:8787",
      "127.0.0.1",
      "http://localhost:8787",
    ],
    [
      "this machine's address, likewise",
      LOCAL,
      "http://127.0.0.1:8787",
      "127.8.9.1",
      "http://127.0.0.1:8787",
    ],
    ["in IPv6, too", LOCAL, "http://[::1]:8787", "::1", "http://[::1]:8787"],
    ["none for a caller elsewhere", LOCAL, "http://localhost:6666", "192.0.2.7", null],
    ["none of a forged address", LOCAL, "http://localhost:6666", "127.evil.example", null],
    ["none of a made-up host", LOCAL, "http://evil.example", "127.0.0.1", null],
    [
      "none of a name that only begins so",
      LOCAL,
      "http://localhost.evil.example",
      "127.0.0.1",
      null,
    ],
    [
      "none where nobody says that the platform routes",
      { ENVIRONMENT: "" },
      "https://evil.example",
      "192.0.2.7",
      null,
    ],
  ] as const)("%s", async ([, config, host, address, origin]) => {
    const { token } = await createPerson();
    const call = await clientOf(config, host, address);
    const { body } = await call(JOBS, token, JOB);
    const command = `curl -fsSL ${origin}/agent | sh -s -- --host ${origin} --token ${body.token}`;
    expect(body.join_command).toBe(origin === null ? null : command);
    const stored = await env.DB.prepare("SELECT origin FROM jobs WHERE id = ?")
      .bind(Number(body.id))
      .first("origin");
    expect(stored, "of reports").toBe(origin);
  });

  test("without one, links are paths of this server", async () => {
    const root = await createPerson({ role: "root_admin" });
    const call = await clientOf(LOCAL, "http://evil.example");
    const { headers } = await call("/v0/users?per_page=1&unknown=x", root.token);
    expect(headers.get("Link")).toMatch(/^<\/v0\/users\?per_page=1&page=1>; rel="first"/);
    expect(headers.get("Link")).not.toContain("evil");
    const person = await createPerson();
    const link = await call(`/v0/users/${person.uuid}/password-link`, root.token, {});
    expect(link.body.url).toMatch(/^\/set-password#[\w.-]+$/);
  });

  test("lists and links to set a password name PUBLIC_ORIGIN", async () => {
    const root = await createPerson({ role: "root_admin" });
    const call = await clientOf({ PUBLIC_ORIGIN: "https://assay.example" }, "https://evil.example");
    const { headers } = await call("/v0/users?per_page=1", root.token);
    const links = [...(headers.get("Link") ?? "").matchAll(/<([^>]*)>/g)].map(([, link]) => link);
    expect(links.length).toBeGreaterThan(1);
    for (const link of links) expect(link).toMatch(/^https:\/\/assay\.example\/v0\/users\?/);
    const person = await createPerson();
    const link = await call(`/v0/users/${person.uuid}/password-link`, root.token, {});
    expect(link.body.url).toMatch(/^https:\/\/assay\.example\/set-password#[\w.-]+$/);
  });
});

test("a report links the page that checks it; without an origin it names its hash alone", async () => {
  const hash = "0123456789abcdef".repeat(4);
  const data = sampleReport({ nodes: 1, gpus: 1 });
  const report = async (origin: string | null) =>
    readPdf(
      (await drawReport({ ...data, origin }, { hash, fonts: await loadFonts(env.ASSETS) })).bytes,
    );
  expect((await report("https://assay.example")).links).toContain("https://assay.example/verify");
  const { links, text } = await report(null);
  expect(links).toEqual([]);
  expect(text).toContain(hash);
  expect(text).not.toContain("Check it at");
});

describe("join_command", () => {
  test("is derived again for a repeat, and stored nowhere", async () => {
    const { token } = await createPerson();
    const key = { "idempotency-key": crypto.randomUUID() };
    const first = await (await clientOf({}, "https://one.example"))(JOBS, token, JOB, key);
    const repeat = await (await clientOf({}, "https://two.example"))(JOBS, token, JOB, key);
    expect(repeat.headers.get("idempotency-replayed")).toBe("true");
    expect(repeat.body.id).toBe(first.body.id);
    expect(repeat.body.join_command).toBe(
      first.body.join_command?.replaceAll("one.example", "two.example"),
    );
    const { facts } = (await env.DB.prepare("SELECT facts FROM idempotency_keys WHERE key = ?")
      .bind(key["idempotency-key"])
      .first<{ facts: string }>()) ?? { facts: "" };
    expect(facts).toContain(first.body.id);
    expect(facts).not.toContain("curl");
  });

  test("is null for a job that runners claim, and its first reply again", async () => {
    const { token } = await createPerson();
    const { slug: spec } = await createSpec();
    const call = await clientOf({}, "https://assay.example");
    const key = { "idempotency-key": crypto.randomUUID() };
    for (const replayed of [null, "true"]) {
      const { headers, body } = await call(JOBS, token, { ...JOB, spec }, key);
      expect(headers.get("idempotency-replayed")).toBe(replayed);
      expect(body.join_command).toBeNull();
    }
  });

  test("is there without an account", async () => {
    const call = await clientOf({}, "https://assay.example");
    const { body } = await call(`${JOBS}/anonymous`, "", {});
    expect(body.join_command).toBe(
      `curl -fsSL https://assay.example/agent | sh -s -- --host https://assay.example --token ${body.token}`,
    );
  });
});

describe("settings", () => {
  test.for([
    "assay.example",
    "https://assay.example/",
    "https://a/b",
    "ftp://a",
    "https://a b",
    "https://a$(id)",
    "https://u@a",
    "https://a?x",
    "https://a:99999",
  ])("PUBLIC_ORIGIN=%s is refused by name", (PUBLIC_ORIGIN) => {
    expect(() => readConfig({ ...env, PUBLIC_ORIGIN })).toThrow("PUBLIC_ORIGIN must be an origin");
  });

  test("an empty PUBLIC_ORIGIN counts as not set", () => {
    expect(readConfig({ ...env, PUBLIC_ORIGIN: "" }).site.publicOrigin).toBeNull();
  });

  const good = "Mu_HTmB8-lVr_H_pI-BPfLKQqP-0123456789";
  test.for([
    "change-me-to-48-random-characters-or-more-please",
    `${good}, Change-Me-to-48-random-characters-or-more-please`,
    "x".repeat(64),
    "abcabc".repeat(8),
    "short",
    `${good},short`,
    "",
    ",",
  ])("TOKEN_SECRET=%s is refused without being repeated", (TOKEN_SECRET) => {
    expect(() => readConfig({ ...env, TOKEN_SECRET })).toThrow(
      /^TOKEN_SECRET must (?:be random|have at least 32)/,
    );
  });

  test("so is such a pepper; random secrets pass", () => {
    expect(() => readConfig({ ...env, PASSWORD_PEPPER: "y".repeat(40) })).toThrow(
      "PASSWORD_PEPPER must be random",
    );
    expect(readConfig({ ...env, TOKEN_SECRET: `${good}, ${good}2` }).tokenSecrets).toEqual([
      good,
      `${good}2`,
    ]);
    expect(
      readConfig({ ...env, TOKEN_SECRET: "0123456789abcdef0123456789abcdef" }).tokenSecrets,
    ).toHaveLength(1);
  });
});
