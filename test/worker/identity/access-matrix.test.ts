/**
 * Every operation of the API document × everyone who may knock. Denied means: the right status, the
 * same body and the same D1 statements whether or not the thing exists, and no write but to the trail.
 */
import { env } from "cloudflare:workers";
import { afterAll, describe, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { operationsOf, RELEASED } from "../api/api-promises.ts";
import { appDeps } from "../harness/client.ts";
import {
  EXPECTATIONS,
  principals,
  SAYS_WHY,
  SEES,
  type Sent,
  statusOfPerson,
  UUID,
} from "./access-expectations.ts";
import {
  MACHINES,
  type MachineName,
  OUTSIDERS,
  PEOPLE,
  type PersonName,
  RUNNERS,
  type RunnerName,
} from "./access-principals.ts";

const operations = operationsOf(RELEASED).map(({ name, operation }) => {
  const [method = "", path = ""] = name.split(" ");
  return { id: operation.operationId, method: method.toUpperCase(), path, operation };
});

const statements: string[] = [];
const startedAt = systemClock.now();
const app = await createApp(
  appDeps({
    d1: recording(env.DB),
    // Time stands still: what an isolate remembers for a minute, it remembers until the end of a slow run.
    clock: { now: () => startedAt },
    // Nobody is refused here for asking often.
    config: { ...appDeps().config, rateLimitScale: 1_000_000 },
  }),
);
await watchWrites();
let calls = 0;
afterAll(() => {
  const knocking = PEOPLE.length + MACHINES.length + RUNNERS.length + OUTSIDERS.length;
  console.info(`${operations.length} operations × ${knocking} principals, ${calls} requests`);
});

test("every operation of the document has its expectation, and the reverse", ({ expect }) => {
  expect(Object.keys(EXPECTATIONS).sort()).toEqual(operations.map(({ id }) => id).sort());
  for (const { id, operation } of operations) {
    const schemes = Object.keys(operation.security?.[0] ?? {}).join();
    const access = {
      "": "open",
      OAuth2PasswordBearer: "user",
      JobToken: "node",
      RunnerBearer: "runner",
    }[schemes];
    expect(access, id).toBe(EXPECTATIONS[id]?.access);
  }
});

describe.for(operations.filter(({ id }) => EXPECTATIONS[id]?.access !== "open"))(
  "$id",
  ({ id, method, path }) => {
    const expectation = EXPECTATIONS[id];
    if (expectation === undefined) return;
    const { access, request, missing } = expectation;
    const kinds: Record<string, Record<string, string>> = {
      user: principals.people,
      node: principals.machines,
      runner: principals.runners,
    };
    const insiders = kinds[access] ?? {};
    // The words of each operation, the same for every other credential.
    const wanted = { user: "token", node: "job token", runner: "runner key" }[String(access)];
    const wrongKind = Object.fromEntries(
      Object.entries(kinds).flatMap(([kind, all]) => (kind === access ? [] : Object.entries(all))),
    );
    const statusFor = (name: string): number =>
      (access === "user"
        ? statusOfPerson(expectation, method, name as PersonName) // the keys of `insiders` are these
        : access === "node"
          ? expectation.machines?.(name as MachineName)
          : expectation.runners?.(name as RunnerName)) ?? 0;

    test.for(Object.entries({ ...principals.outsiders, ...wrongKind }))(
      "%s: 401, and nothing more is said",
      async ([, token], { expect }) => {
        // A refusal of a moment ago is not written to the trail again.
        if (missing !== undefined) await send(method, path, token, missing());
        const existing = await send(method, path, token, await request());
        expect(existing.status, existing.body).toBe(401);
        expect(existing.error).toMatchObject({ code: "CLIENT_TOKEN_INVALID" });
        expect(existing.writes).toEqual([]);
        const message =
          token === null
            ? `A ${wanted} is required: send it as Authorization: Bearer <${access === "runner" ? "key" : "token"}>`
            : `Invalid or expired ${wanted}`;
        expect(existing.error.message).toBe(message);
        if (missing === undefined) return;
        expect(await send(method, path, token, missing())).toEqual(existing);
      },
    );

    test.for(Object.entries(insiders))("%s", async ([name, token], { expect }) => {
      const expected = statusFor(name);
      // Known callers and refusals of a moment ago cost no second round trip.
      await send(method, path, token, missing?.() ?? (await request()));
      const existing = await send(method, path, token, await request());
      expect(existing.status, existing.body).toBe(expected);
      if (expected < 400) return;
      expect(existing.writes).toEqual([]);
      if (missing === undefined || ![401, 403, 404].includes(expected)) return;
      if (expected === 403 && SEES.includes(name as PersonName) && SAYS_WHY.has(id)) return;
      expect(await send(method, path, token, missing())).toEqual(existing);
    });
  },
);

/** All that a caller can tell of a reply, and what making it took; without the ids that the caller sent. */
async function send(method: string, path: string, token: string | null, sent: Sent) {
  const { params = {}, query = "", body } = sent;
  const filled = path.replace(/\{(\w+)\}/g, (_all, name: string) => {
    const value = params[name];
    if (value === undefined) throw new Error(`${method} ${path} is sent without its ${name}`);
    return value;
  });
  const headers = new Headers({ "x-request-id": "matrix", "cf-connecting-ip": "192.0.2.1" });
  if (token !== null) headers.set("authorization", `Bearer ${token}`);
  if (body !== undefined) headers.set("content-type", "application/json");
  const before = await writeCounts();
  statements.length = 0;
  calls++;
  const reply = await app.request(`https://assay.test${filled}${query}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  const asked = [...statements];
  const after = await writeCounts();
  const named = typeof body === "object" && body !== null && "id" in body ? [String(body.id)] : [];
  const ids = [...Object.values(params), ...named].filter((id) => id.length > 1);
  const shown = ids.reduce((all, id) => all.replaceAll(id, "<id>"), text.replaceAll(UUID, "<id>"));
  return {
    status: reply.status,
    body: shown,
    error: shown.startsWith("{") ? (JSON.parse(shown).error ?? {}) : {},
    headers: [...reply.headers.keys()].sort(),
    statements: asked,
    writes: Object.keys(after).filter((table) => after[table] !== before[table]),
  };
}

/** A database that notes the statements it is asked for, without their parameters. */
function recording(d1: D1Database): D1Database {
  const noting = <Target extends D1Database | D1DatabaseSession>(target: Target): Target =>
    new Proxy(target, {
      get(inner, key) {
        if (key === "prepare") {
          return (sql: string) => {
            statements.push(sql);
            return inner.prepare(sql);
          };
        }
        if (key === "withSession" && "withSession" in inner) {
          return (...args: Parameters<D1Database["withSession"]>) =>
            noting(inner.withSession(...args));
        }
        const value: unknown = Reflect.get(inner, key);
        return typeof value === "function" ? value.bind(inner) : value;
      },
    });
  return noting(d1);
}

/** Counts writes to every table by triggers, but for those to the audit log. */
async function watchWrites(): Promise<void> {
  const { results } = await env.DB.prepare(
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'd1_*'",
  ).all<{ name: string }>();
  const watched = results.map(({ name }) => name).filter((name) => name !== "audit_events");
  await env.DB.batch([
    env.DB.prepare("CREATE TABLE write_counts (name TEXT PRIMARY KEY, writes INTEGER NOT NULL)"),
    ...watched.flatMap((name) =>
      ["INSERT", "UPDATE", "DELETE"].map((event) =>
        env.DB.prepare(
          `CREATE TRIGGER "watch_${event}_${name}" AFTER ${event} ON "${name}" BEGIN
             INSERT INTO write_counts (name, writes) VALUES ('${name}', 1) ON CONFLICT DO UPDATE SET writes = writes + 1;
           END`,
        ),
      ),
    ),
  ]);
}

async function writeCounts(): Promise<Record<string, number>> {
  const { results } = await env.DB.prepare("SELECT name, writes FROM write_counts").all<{
    name: string;
    writes: number;
  }>();
  return Object.fromEntries(results.map(({ name, writes }) => [name, writes]));
}
