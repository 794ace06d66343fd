/**
 * Every operation of the API document × everyone who may knock. Denied means: the right status, the
 * same body and the same D1 statements whether or not the thing exists, and no write but to the trail.
 */
import { env } from "cloudflare:workers";
import { decodeJwt } from "jose";
import { afterAll, describe, test } from "vitest";
import { createApp } from "../../src/app.ts";
import { systemClock } from "../../src/lib/clock.ts";
import {
  apiToken,
  createPrincipals,
  MACHINES,
  type MachineName,
  OUTSIDERS,
  PASSWORD,
  PEOPLE,
  type PersonName,
  RUNNERS,
  type RunnerName,
} from "./access-principals.ts";
import { operationsOf } from "./api-promises.ts";
import {
  appDeps,
  call,
  createJob,
  createPerson,
  createRunner,
  createSpec,
  HARDWARE,
  machineUuid,
  resultBody,
} from "./harness.ts";

const principals = await createPrincipals();
const { persons, job, ended, taskId, runner } = principals;

/** What is sent: once for a thing that exists, once for one that does not. */
interface Sent {
  params?: Record<string, string>;
  query?: string;
  body?: unknown;
}

interface Expectation {
  access: "open" | "user" | "node" | "runner";
  /** Made anew for every request, since some use up what they name. */
  request: () => Sent | Promise<Sent>;
  /** The same request for something that does not exist; absent where nothing is named. */
  missing?: () => Sent;
  /** What people get; for `node` operations what machines get. */
  people?: (name: PersonName) => number;
  machines?: (name: MachineName) => number;
  /** For `runner` operations. */
  runners?: (name: RunnerName) => number;
}

/** Who sees a job of another customer hears that it is not for them to end. */
const SAYS_WHY = new Set(["abortJob", "deleteJob"]);
const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const NOBODY = "00000000-0000-4000-8000-00000000dead";
const ROOTS: readonly PersonName[] = ["root_admin", "foreign root_admin"];
/** Who sees the owner's jobs (contract §3). */
const SEES: readonly PersonName[] = [
  "owner",
  "owner's API token",
  "customer_admin",
  "staff",
  "root_admin",
  "foreign staff",
  "foreign root_admin",
];
const everyone = (status: number) => () => status;
const rootsAlone = (status: number) => (name: PersonName) => (ROOTS.includes(name) ? status : 403);
const viewers = (status: number) => (name: PersonName) => (SEES.includes(name) ? status : 404);

/** Who sees it and belongs to its customer. */
const ofItsCustomer = (status: number) => (name: PersonName) =>
  SEES.includes(name) && name.startsWith("foreign") ? 403 : viewers(status)(name);

const isOneOf = (...names: PersonName[]) => new Set(names);
const MANAGERS = isOneOf("customer_admin", "foreign customer_admin", ...ROOTS);
const managers = (status: number) => (name: PersonName) => (MANAGERS.has(name) ? status : 403);
/** What is of the owner's customer: administrators of another one do not see it. */
const managersOf = (status: number) => (name: PersonName) =>
  name === "foreign customer_admin" ? 404 : managers(status)(name);
const ownerAndManagers = (status: number) => (name: PersonName) =>
  name.startsWith("owner") ? status : managersOf(status)(name);

const ofOwner = { params: { user: persons.owner.uuid } };
const ofColleague = { params: { user: persons.colleague.uuid } };
const ofNobody = (body?: unknown) => () => ({ params: { user: NOBODY }, body });
const ofNoToken = () => ({ params: { user: NOBODY, uuid: NOBODY } });
const customer = await uuidOfCustomer(persons.owner.customerId);
const newPerson = (customerUuid: string) => ({
  email: `${crypto.randomUUID()}@example.com`,
  name: "Made by the matrix",
  password: PASSWORD,
  customer: customerUuid,
});
const tokenOfOwner = async () => decodeJwt(await apiToken(persons.owner)).jti ?? "";

const ofJob = { params: { job_id: job.id } };
const ofNoJob = () => ({ params: { job_id: "512" } });
const spec = await createSpec();
const ofSpec = { params: { spec: spec.uuid } };
const ofNoSpec = (body?: unknown) => () => ({ params: { spec: NOBODY }, body });
const ofRunner = { params: { runner: runner.uuid } };
const ofNoRunner = (body?: unknown) => () => ({ params: { runner: NOBODY }, body });
const ofNoOffer = () => ({ params: { runner: NOBODY, spec: NOBODY } });
const ofBaseline = { params: { model: "l4", metric: "bf16_tflops" } };
const ofNoBaseline = { params: { model: "nobody's", metric: "bf16_tflops" } };
const machine = () => ({ machine_uuid: machineUuid() });
const settings = { name: "Renamed" };

/** Jobs without an account: a live one, full and of another task; and one whose token reads alone. */
const notMeant = (live: number, reading = 401) => ({
  "job without an account": live,
  "read without an account": reading,
});

/** By operation id: an operation of the document that is not here fails the suite, and the reverse. */
const EXPECTATIONS: Record<string, Expectation> = {
  createToken: { access: "open", request: () => ({}) },
  revokeToken: { access: "open", request: () => ({}) },
  login: { access: "open", request: () => ({}) },
  getHealth: { access: "open", request: () => ({}) },
  getServerVersion: { access: "open", request: () => ({}) },

  createJob: {
    access: "user",
    request: () => ({ body: { benchmarks: [] } }),
    people: everyone(201),
  },
  listJobs: { access: "user", request: () => ({}), people: everyone(200) },
  getJob: { access: "user", request: () => ofJob, missing: ofNoJob, people: viewers(200) },
  getJobResults: { access: "user", request: () => ofJob, missing: ofNoJob, people: viewers(200) },
  makeJobReport: {
    access: "user",
    request: () => ({ params: { job_id: ended.id } }),
    missing: ofNoJob,
    people: viewers(202),
  },
  getReport: {
    access: "open",
    request: () => ({ params: { hash: "0".repeat(64) } }),
  },
  getReportFile: {
    access: "open",
    request: () => ({
      params: { id: ended.id },
      query: `?expires=99999999999&key=AAAAAAAA&signature=${"A".repeat(43)}`,
    }),
  },
  abortJob: {
    access: "user",
    request: async () => ({ params: { job_id: (await createJob({}, persons.owner)).id } }),
    missing: ofNoJob,
    people: ofItsCustomer(200),
  },
  deleteJob: {
    access: "user",
    request: async () => ({ body: { id: (await createJob({}, persons.owner)).id } }),
    missing: () => ({ body: { id: "512" } }),
    people: ofItsCustomer(200),
  },
  getJobStats: { access: "user", request: () => ({}), people: everyone(200) },
  listBaselines: { access: "user", request: () => ({}), people: everyone(200) },
  getBaseline: { access: "user", request: () => ofBaseline, people: everyone(200) },
  pinBaseline: {
    access: "user",
    request: () => ({ ...ofBaseline, body: { value: 260.5 } }),
    missing: () => ({ ...ofNoBaseline, body: { value: 260.5 } }),
    people: rootsAlone(200),
  },
  unpinBaseline: {
    access: "user",
    request: async () => {
      await env.DB.prepare(
        "INSERT INTO baselines (model, metric, version, pinned_value, pinned_at) VALUES ('l4', 'bf16_tflops', 0, 1, 0) ON CONFLICT DO UPDATE SET pinned_value = 1",
      ).run();
      return ofBaseline;
    },
    missing: () => ofNoBaseline,
    people: rootsAlone(204),
  },
  listTasks: { access: "user", request: () => ({}), people: everyone(200) },
  getTaskResults: {
    access: "user",
    request: () => ({ params: { task_id: taskId } }),
    missing: () => ({ params: { task_id: "513" } }),
    people: viewers(200),
  },
  listJobTags: { access: "user", request: () => ({}), people: everyone(200) },
  listBenchmarks: { access: "user", request: () => ({}), people: everyone(200) },
  listAvailableSpecs: { access: "user", request: () => ({}), people: everyone(200) },

  listSpecs: { access: "user", request: () => ({}), people: rootsAlone(200) },
  createSpec: {
    access: "user",
    request: () => ({ body: { name: "Made by the matrix", ...HARDWARE } }),
    people: rootsAlone(201),
  },
  getSpec: { access: "user", request: () => ofSpec, missing: ofNoSpec(), people: rootsAlone(200) },
  updateSpec: {
    access: "user",
    request: () => ({ ...ofSpec, body: settings }),
    missing: ofNoSpec(settings),
    people: rootsAlone(200),
  },
  deleteSpec: {
    access: "user",
    request: async () => ({ params: { spec: (await createSpec()).uuid } }),
    missing: ofNoSpec(),
    people: rootsAlone(204),
  },

  listCustomers: { access: "user", request: () => ({}), people: managers(200) },
  createCustomer: {
    access: "user",
    request: () => ({ body: { name: "Made by the matrix" } }),
    people: rootsAlone(201),
  },
  getCustomer: {
    access: "user",
    request: () => ({ params: { customer } }),
    missing: () => ({ params: { customer: NOBODY } }),
    people: managersOf(200),
  },
  updateCustomer: {
    access: "user",
    request: () => ({ params: { customer }, body: settings }),
    missing: () => ({ params: { customer: NOBODY }, body: settings }),
    people: rootsAlone(200),
  },

  listUsers: { access: "user", request: () => ({}), people: managers(200) },
  createUser: {
    access: "user",
    request: () => ({ body: newPerson(customer) }),
    missing: () => ({ body: newPerson(NOBODY) }),
    people: managersOf(201),
  },
  getOwnUser: { access: "user", request: () => ({}), people: everyone(200) },
  changeOwnPassword: {
    access: "user",
    request: () => ({ body: { old_password: PASSWORD, password: PASSWORD } }),
    people: (name) => (name === "owner's API token" ? 403 : 204),
  },
  getUser: {
    access: "user",
    request: () => ofColleague,
    missing: ofNobody(),
    people: managersOf(200),
  },
  updateUser: {
    access: "user",
    request: () => ({ ...ofColleague, body: settings }),
    missing: ofNobody(settings),
    people: managersOf(200),
  },
  deleteUser: {
    access: "user",
    request: async () => ({
      params: { user: (await createPerson({ customerId: persons.owner.customerId })).uuid },
    }),
    missing: ofNobody(),
    people: managersOf(204),
  },
  createPasswordLink: {
    access: "user",
    request: () => ofColleague,
    missing: ofNobody(),
    people: managersOf(201),
  },
  setPassword: { access: "open", request: () => ({}) },
  createAnonymousJob: { access: "open", request: () => ({}) },

  listApiTokens: {
    access: "user",
    request: () => ofOwner,
    missing: ofNobody(),
    people: ownerAndManagers(200),
  },
  createApiToken: {
    access: "user",
    request: () => ({ ...ofOwner, body: { name: "Made by the matrix" } }),
    missing: ofNobody({ name: "Made by the matrix" }),
    // Nobody makes one for someone else, whatever their role, and none makes the next.
    people: (name) => (name === "owner" ? 201 : 403),
  },
  getApiToken: {
    access: "user",
    request: async () => ({ params: { ...ofOwner.params, uuid: await tokenOfOwner() } }),
    missing: ofNoToken,
    people: ownerAndManagers(200),
  },
  revokeApiToken: {
    access: "user",
    request: async () => ({ params: { ...ofOwner.params, uuid: await tokenOfOwner() } }),
    missing: ofNoToken,
    people: ownerAndManagers(204),
  },
  listAuditEvents: { access: "user", request: () => ({}), people: managers(200) },
  listRunners: { access: "user", request: () => ({}), people: rootsAlone(200) },
  createRunner: {
    access: "user",
    request: () => ({ body: { name: "Made by the matrix", slug: `made-${machineUuid()}` } }),
    people: rootsAlone(201),
  },
  getRunner: {
    access: "user",
    request: () => ofRunner,
    missing: ofNoRunner(),
    people: rootsAlone(200),
  },
  updateRunner: {
    access: "user",
    request: () => ({ ...ofRunner, body: settings }),
    missing: ofNoRunner(settings),
    people: rootsAlone(200),
  },
  rotateRunnerKey: {
    access: "user",
    request: async () => ({ params: { runner: (await createRunner()).uuid } }),
    missing: ofNoRunner(),
    people: rootsAlone(201),
  },
  listRunnerSpecs: {
    access: "user",
    request: () => ofRunner,
    missing: ofNoRunner(),
    people: rootsAlone(200),
  },
  offerRunnerSpec: {
    access: "user",
    request: async () => ({ ...ofRunner, body: { spec: (await createSpec()).uuid } }),
    missing: ofNoRunner({ spec: NOBODY }),
    people: rootsAlone(201),
  },
  withdrawRunnerSpec: {
    access: "user",
    request: async () => {
      const offered = await createSpec();
      return { params: { runner: (await createRunner([offered])).uuid, spec: offered.uuid } };
    },
    missing: ofNoOffer,
    people: rootsAlone(204),
  },
  claimJob: {
    access: "runner",
    request: () => ofRunner,
    missing: ofNoRunner(),
    // For another runner there is no such runner.
    runners: (name) => (name === "runner key" ? 200 : 401),
  },

  pollCurrentJob: {
    access: "node",
    request: () => ({ query: `?task_id=${taskId}` }),
    // The task of another job is no task of this one; an ended job tells everybody to stop.
    machines: (name) =>
      ({ ...{ "own job": 200, "another job": 404, "ended job": 200 }, ...notMeant(404, 200) })[
        name
      ],
  },
  generateReport: {
    access: "node",
    request: () => ({ params: { job_id: ended.id } }),
    machines: (name) =>
      ({ ...{ "own job": 404, "another job": 404, "ended job": 202 }, ...notMeant(404) })[name],
  },
  joinCurrentJob: {
    access: "node",
    request: () => ({ body: machine() }),
    machines: (name) =>
      ({ ...{ "own job": 201, "another job": 201, "ended job": 409 }, ...notMeant(409) })[name],
  },
  updateCurrentTask: {
    access: "node",
    request: () => ({ params: { task_id: taskId }, body: {} }),
    machines: (name) =>
      ({ ...{ "own job": 200, "another job": 404, "ended job": 409 }, ...notMeant(404) })[name],
  },
  putStepResult: {
    access: "node",
    request: () => ({ params: { task_id: taskId, position: "0" }, body: resultBody() }),
    machines: (name) =>
      ({ ...{ "own job": 200, "another job": 404, "ended job": 409 }, ...notMeant(404) })[name],
  },
};

const document = (await call("GET", "https://assay.test/openapi.json")).body;
const operations = operationsOf(document).map(({ name, operation }) => {
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
      ...{ "": "open", OAuth2PasswordBearer: "user" },
      ...{ JobToken: "node", RunnerKey: "runner" },
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
    const wrongKind = Object.fromEntries(
      Object.entries(kinds).flatMap(([kind, all]) => (kind === access ? [] : Object.entries(all))),
    );
    const statusFor = (name: string): number =>
      (access === "user"
        ? expectation.people?.(name as PersonName) // the keys of `insiders` are these
        : access === "node"
          ? expectation.machines?.(name as MachineName)
          : expectation.runners?.(name as RunnerName)) ?? 0;

    test.for(Object.entries({ ...principals.outsiders, ...wrongKind }))(
      "%s: 401, and nothing more is said",
      async ([, token], { expect }) => {
        // What was refused a moment ago is not written to the trail again.
        if (missing !== undefined) await send(method, path, token, missing());
        const existing = await send(method, path, token, await request());
        expect(existing.status, existing.body).toBe(401);
        expect(existing.error).toMatchObject({ code: "CLIENT_TOKEN_INVALID" });
        expect(existing.writes).toEqual([]);
        const message =
          token === null
            ? "A token is needed: send it as Authorization: Bearer <token>"
            : "Invalid or expired token";
        expect(existing.error.message).toBe(message);
        if (missing === undefined) return;
        expect(await send(method, path, token, missing())).toEqual(existing);
      },
    );

    test.for(Object.entries(insiders))("%s", async ([name, token], { expect }) => {
      const expected = statusFor(name);
      // Who is known, and what was refused a moment ago, costs no round trip twice.
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

/** What a caller can tell of a reply, and what it took to make it; without what the caller has sent. */
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

/** Counts writes to every table by triggers, but for those to the audit trail. */
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
             INSERT INTO write_counts VALUES ('${name}', 1) ON CONFLICT DO UPDATE SET writes = writes + 1;
           END`,
        ),
      ),
    ),
  ]);
}

async function uuidOfCustomer(id: number): Promise<string> {
  const row = await env.DB.prepare("SELECT uuid FROM customers WHERE id = ?")
    .bind(id)
    .first<{ uuid: string }>();
  return row?.uuid ?? "";
}

async function writeCounts(): Promise<Record<string, number>> {
  const { results } = await env.DB.prepare("SELECT name, writes FROM write_counts").all<{
    name: string;
    writes: number;
  }>();
  return Object.fromEntries(results.map(({ name, writes }) => [name, writes]));
}
