/**
 * What tests of the running Worker share: people, jobs, machines, and the public HTTP surface. Data is
 * made per test; isolation is per file, so nothing here relies on an empty database.
 */
import { env, exports } from "cloudflare:workers";
import type { z } from "@hono/zod-openapi";
import { type ExpectStatic, onTestFinished, vi } from "vitest";
import type { AppDeps } from "../../src/app.ts";
import { errorSchema } from "../../src/http/schemas.ts";
import type { Role } from "../../src/identity/actor.ts";
import { createTokens, type Tokens } from "../../src/identity/tokens.ts";
import { MINUTE_MS, SECOND_MS, systemClock } from "../../src/lib/clock.ts";
import { readConfig } from "../../src/lib/config.ts";

export const API = "https://assay.test/api/silicon-mark/v1";
export const V0 = "https://assay.test/v0";

export interface Reply<Body = Record<string, unknown>> {
  status: number;
  headers: Headers;
  /** Parsed JSON, or null for an empty body. */
  body: Body;
  text: string;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read bodies of every shape; contracts are asserted by parsing
type Json = any;

export async function call(
  method: string,
  url: string,
  options: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Reply<Json>> {
  const headers = new Headers(options.headers);
  // Callers at different addresses, so that tests do not share a rate limit.
  if (!headers.has("cf-connecting-ip")) headers.set("cf-connecting-ip", randomAddress());
  if (options.token !== undefined) headers.set("authorization", `Bearer ${options.token}`);
  const init: RequestInit = { method, headers };
  if (options.body !== undefined) {
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    init.body =
      typeof options.body === "string" || options.body instanceof ReadableStream
        ? options.body
        : options.body instanceof Uint8Array
          ? new Uint8Array(options.body)
          : JSON.stringify(options.body);
  }
  const target = url.startsWith("http") ? url : `${API}${url}`;
  const response = await exports.default.fetch(new Request(target, init));
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text !== "" ? JSON.parse(text) : null,
    text,
  };
}

function randomAddress(): string {
  return [10, ...crypto.getRandomValues(new Uint8Array(3))].join(".");
}

/** What an app of the test's own is made from; the running Worker's bindings unless replaced. */
export function appDeps(changes: Partial<AppDeps> = {}): AppDeps {
  return {
    d1: env.DB,
    bucket: env.BUCKET,
    coordinators: env.COORDINATOR,
    rateLimitCounters: {
      user: env.LIMIT_USER,
      node: env.LIMIT_NODE,
      runner: env.LIMIT_RUNNER,
      address: env.LIMIT_ADDRESS,
      anonymous: env.LIMIT_ANONYMOUS,
      "sign-in-address": env.LIMIT_SIGN_IN_ADDRESS,
      "sign-in-account": env.LIMIT_SIGN_IN_ACCOUNT,
      report: env.LIMIT_REPORT,
    },
    config: readConfig(env),
    clock: systemClock,
    ...changes,
  };
}

let sharedTokens: Promise<Tokens> | undefined;

export function tokens(): Promise<Tokens> {
  sharedTokens ??= createTokens(readConfig(env).tokenSecrets, systemClock);
  return sharedTokens;
}

let serial = 0;

export async function createCustomer(): Promise<number> {
  const uuid = crypto.randomUUID();
  const row = await env.DB.prepare(
    "INSERT INTO customers (uuid, name, slug, created_at, modified_at) VALUES (?1, ?2, ?2, 0, 0) RETURNING id",
  )
    .bind(uuid, `customer-${uuid}`)
    .first<{ id: number }>();
  return row?.id ?? 0;
}

export interface Person {
  id: number;
  uuid: string;
  customerId: number;
  token: string;
}

/** The hash of no password at all: nothing fits it. */
const NO_PASSWORD = `$scrypt$ln=14,r=8,p=5$${"A".repeat(22)}$${"A".repeat(43)}`;

/** A person with a valid token; of a customer of their own unless one is given. */
export async function createPerson(
  options: { role?: Role; customerId?: number; email?: string; passwordHash?: string } = {},
): Promise<Person> {
  const customerId = options.customerId ?? (await createCustomer());
  const uuid = crypto.randomUUID();
  const row = await env.DB.prepare(
    `INSERT INTO users (uuid, customer_id, email, name, slug, role, password_hash, created_at, modified_at)
     VALUES (?1, ?2, ?3, 'Person', 'person-' || ?1, ?4, ?5, 0, 0) RETURNING id`,
  )
    .bind(
      uuid,
      customerId,
      options.email ?? `${uuid}@example.com`,
      options.role ?? "user",
      options.passwordHash ?? NO_PASSWORD,
    )
    .first<{ id: number }>();
  const id = row?.id ?? 0;
  return { id, uuid, customerId, token: await signedIn({ id, uuid }) };
}

/** A token of a new session, without the cost of a password. */
export async function signedIn(
  { id, uuid }: { id: number; uuid: string },
  lifetimeMs = 24 * 60 * 60_000,
): Promise<string> {
  const sid = crypto.randomUUID();
  const now = systemClock.now();
  await env.DB.prepare(
    "INSERT INTO sessions (uuid, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
  )
    .bind(sid, id, now, now + 30 * lifetimeMs)
    .run();
  const lasting = { from: now, until: now + 60 * 60_000 };
  return (await tokens()).sign("user", { sub: uuid, sid }, lasting);
}

export interface TestJob {
  id: string;
  token: string;
  owner: Person;
}

export async function createJob(
  body: Record<string, unknown> = {},
  owner?: Person,
): Promise<TestJob> {
  const person = owner ?? (await createPerson());
  const reply = await call("POST", "/jobs", {
    token: person.token,
    body: { benchmarks: ["quick_mark"], ...body },
  });
  if (reply.status !== 201)
    throw new Error(`creating a job answered ${reply.status}: ${reply.text}`);
  return { id: reply.body.id, token: reply.body.token, owner: person };
}

export interface TestSpec {
  uuid: string;
  slug: string;
  name: string;
}

export const HARDWARE = { architecture: "x86_64", cpu: 26, memory: 2 ** 38, disk: 2 ** 40 };

/** A spec, by an administrator of its own unless one is given. */
export async function createSpec(
  body: Record<string, unknown> = {},
  admin?: Person,
): Promise<TestSpec> {
  const { token } = admin ?? (await createPerson({ role: "root_admin" }));
  const reply = await call("POST", `${V0}/specs`, {
    token,
    body: { name: "H100 node", ...HARDWARE, ...body },
  });
  if (reply.status !== 201)
    throw new Error(`creating a spec answered ${reply.status}: ${reply.text}`);
  return reply.body;
}

export interface TestRunner {
  uuid: string;
  slug: string;
  key: string;
}

/** A runner that offers these specs, by an administrator of its own unless one is given. */
export async function createRunner(
  specs: readonly TestSpec[] = [],
  admin?: Person,
): Promise<TestRunner> {
  const { token } = admin ?? (await createPerson({ role: "root_admin" }));
  const slug = `runner-${crypto.randomUUID().slice(0, 18)}x`;
  const made = await call("POST", `${V0}/runners`, { token, body: { name: "Rack", slug } });
  if (made.status !== 201) throw new Error(`creating a runner: ${made.status} ${made.text}`);
  for (const { uuid } of specs) {
    const path = `${V0}/runners/${slug}/specs`;
    const offered = await call("POST", path, { token, body: { spec: uuid } });
    if (offered.status !== 201) throw new Error(`offering: ${offered.status} ${offered.text}`);
  }
  return { ...made.body, slug };
}

export function claim(
  runner: Pick<TestRunner, "uuid" | "key">,
  body?: Record<string, unknown>,
): Promise<Reply<Json>> {
  return call("POST", `${V0}/runners/${runner.uuid}/jobs`, { token: runner.key, body });
}

export function machineUuid(): string {
  serial++;
  return `00000000-0000-4000-8000-${serial.toString(16).padStart(12, "0")}`;
}

export function join(job: TestJob, machine: Record<string, unknown> = {}): Promise<Reply<Json>> {
  return call("POST", "/jobs/current/tasks", {
    token: job.token,
    body: { machine_uuid: machineUuid(), gpu_model: "NVIDIA H100 NVL", gpu_count: 1, ...machine },
  });
}

export function poll(
  job: TestJob,
  taskId?: string,
  headers: Record<string, string> = {},
): Promise<Reply<Json>> {
  const query = taskId === undefined ? "" : `?task_id=${taskId}`;
  return call("GET", `/jobs/current${query}`, { token: job.token, headers });
}

export const QUICK_MARK_RESULTS = {
  test_results: [{ gpu_id: "GPU-0", bf16_tflops: 452.2, memory_bandwidth_gbs: 3254.42 }],
};

export function resultBody(results: unknown = QUICK_MARK_RESULTS) {
  return {
    state: "completed",
    started_at: "2026-01-01T00:00:00Z",
    ended_at: "2026-01-01T00:05:00Z",
    results,
  };
}

export function putResult(
  job: TestJob,
  taskId: string,
  position: number,
  body: unknown = resultBody(),
): Promise<Reply<Json>> {
  return call("PUT", `/jobs/current/tasks/${taskId}/results/${position}`, {
    token: job.token,
    body,
  });
}

export function detail(job: TestJob): Promise<Reply<Json>> {
  return call("GET", `/jobs/${job.id}`, { token: job.owner.token });
}

export function coordinatorOf(job: TestJob) {
  return env.COORDINATOR.get(env.COORDINATOR.idFromName(job.id));
}

/** Waits until D1 has what the job's object knows; the object flushes on its own. */
export async function flushed(job: TestJob): Promise<void> {
  const { version } = (await poll(job)).body;
  await vi.waitFor(
    async () => {
      const row = await env.DB.prepare("SELECT version FROM jobs WHERE id = ?")
        .bind(Number(job.id))
        .first<{ version: number }>();
      if (row?.version !== version)
        throw new Error(`D1 has version ${row?.version}, not ${version}`);
    },
    { timeout: 30_000, interval: 10 },
  );
}

/** Waits until a settled job has been rated, or found to have nothing to rate. */
export async function rated(job: TestJob): Promise<void> {
  await vi.waitFor(
    async () => {
      const row = await env.DB.prepare("SELECT rated_at FROM jobs WHERE id = ?")
        .bind(Number(job.id))
        .first<{ rated_at: number | null }>();
      if (row === null || row.rated_at === null) throw new Error("not rated yet");
    },
    { timeout: 20_000, interval: 10 },
  );
}

/** Waits until a settled job has its reports; answers its detail. */
export async function reported(job: TestJob): Promise<Reply<Json>> {
  return vi.waitFor(
    async () => {
      const reply = await detail(job);
      if (typeof reply.body.pdf_report_url !== "string") throw new Error("not reported yet");
      return reply;
    },
    { timeout: 20_000, interval: 20 },
  );
}

export interface Measured {
  gpu_model: string | null;
  gpu_count: number | null;
  machine_uuid?: string;
  /** Of QuickMark. */
  results: unknown;
}

/** A job of QuickMark alone, played to its end on these machines, and rated. */
export async function measureJob(
  machines: readonly Measured[],
  owner?: Person,
  body: Record<string, unknown> = {},
): Promise<TestJob> {
  const job = await createJob({ node_count: machines.length, ...body }, owner);
  for (const { gpu_model, gpu_count, machine_uuid = machineUuid(), results } of machines) {
    const joined = await join(job, { gpu_model, gpu_count, machine_uuid });
    const reply = await putResult(job, joined.body.id, 0, resultBody(results));
    if (reply.status !== 200) throw new Error(`a result answered ${reply.status}: ${reply.text}`);
  }
  await rated(job);
  return job;
}

/**
 * Waits for the next minute when this one is nearly over: the limits count by the minute of the machine's
 * clock, which no test moves, and begin anew with each.
 */
export async function earlyInMinute(): Promise<void> {
  const leftMs = MINUTE_MS - (Date.now() % MINUTE_MS);
  if (leftMs < 15 * SECOND_MS) await new Promise((done) => setTimeout(done, leftMs));
}

/** What a request cost, from its log line. */
export interface Cost {
  route: string;
  status: number;
  d1_round_trips: number;
  object_hops: number;
}

/** Runs a call and reads the request log: the Worker and its tests share one console. */
export async function costOf(run: () => Promise<Reply<Json>>): Promise<Cost> {
  const lines: Cost[] = [];
  const spy = vi.spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(JSON.parse(line));
  });
  try {
    await run();
  } finally {
    spy.mockRestore();
  }
  const [line, ...more] = lines;
  if (line === undefined || more.length > 0)
    throw new Error(`expected one log line, got ${lines.length}`);
  return line;
}

/** What D1 did for a call, by statement. */
export interface Traffic<T> {
  reply: T;
  /** Rows. */
  read: number[];
  /** Rows, with those of indexes and triggers. */
  written: number[];
  statements: { query: string; values: unknown[] }[];
}

interface Noted {
  statement: D1PreparedStatement;
  query: string;
  values: unknown[];
}

/** Runs a call and tells what D1 has done for it. */
export async function rowsReadBy<T>(run: () => Promise<T>): Promise<Traffic<T>> {
  const withSession = env.DB.withSession.bind(env.DB);
  const traffic: Omit<Traffic<T>, "reply"> = { read: [], written: [], statements: [] };
  const inner = new Map<D1PreparedStatement, Noted>();
  const note = (noted: Noted | undefined, { meta }: D1Result) => {
    traffic.read.push(meta.rows_read);
    traffic.written.push(meta.rows_written);
    if (noted === undefined) return;
    traffic.statements.push({ query: noted.query, values: noted.values });
  };
  const noting = (statement: D1PreparedStatement, query: string, values: unknown[]) => {
    // What drizzle calls on its own, outside a batch.
    const noted = {
      bind: (...bound: unknown[]) => noting(statement.bind(...bound), query, bound),
      raw: async () => {
        const rows = await statement.raw();
        // Raw rows come without their cost: a statement that changes nothing is run once more for it.
        if (/^\s*(?:select|with)\b/i.test(query)) {
          note({ statement, query, values }, await statement.all());
        }
        return rows;
      },
      run: () => statement.run(),
      all: async () => {
        const result = await statement.all();
        note({ statement, query, values }, result);
        return result;
      },
    } as unknown as D1PreparedStatement;
    inner.set(noted, { statement, query, values });
    return noted;
  };
  const spy = vi.spyOn(env.DB, "withSession").mockImplementation((bookmark) => {
    const real = withSession(bookmark);
    return {
      prepare: (query: string) => noting(real.prepare(query), query, []),
      getBookmark: () => real.getBookmark(),
      batch: async <Row>(batch: D1PreparedStatement[]) => {
        const known = batch.map((each) => inner.get(each));
        const results = await real.batch<Row>(
          batch.map((each, at) => known[at]?.statement ?? each),
        );
        for (const [at, result] of results.entries()) note(known[at], result);
        return results;
      },
    } satisfies D1DatabaseSession;
  });
  try {
    return { reply: await run(), ...traffic };
  } finally {
    spy.mockRestore();
  }
}

/** How SQLite goes about each statement, one line a step. */
export async function plansOf({ statements }: Pick<Traffic<unknown>, "statements">) {
  const plans: string[] = [];
  for (const { query, values } of statements) {
    const explained = env.DB.prepare(`EXPLAIN QUERY PLAN ${query}`).bind(...values);
    const { results } = await explained.all<{ detail: string }>();
    plans.push(results.map(({ detail }) => detail).join("\n"));
  }
  return plans;
}

interface RouteWithJson {
  responses: { [status: number]: { description: string; content?: object } };
}

/** Asserts that a body is exactly what the route's contract declares: no key missing, none extra. */
export function expectContract(
  expect: ExpectStatic,
  reply: Reply<unknown>,
  route: RouteWithJson,
  status: number,
): void {
  expect(reply.status, reply.text).toBe(status);
  // Contracts hold zod schemas; objects drop unknown keys when they parse.
  const content = route.responses[status]?.content as { "application/json": { schema: z.ZodType } };
  const { schema } = content["application/json"];
  expect(schema.parse(reply.body)).toEqual(reply.body);
}

/** Asserts the one error body (contract §2). */
export function expectError(
  expect: ExpectStatic,
  reply: Reply<Json>,
  status: number,
  code: string,
  message?: string,
): void {
  expect(reply.status, reply.text).toBe(status);
  expect(errorSchema.strict().parse(reply.body), reply.text).toEqual(reply.body);
  expect(reply.body.error.code).toBe(code);
  expect(reply.body.message).toBe(reply.body.error.message);
  expect(reply.body.request_id).toBe(reply.headers.get("x-request-id"));
  if (message !== undefined) expect(reply.body.message).toBe(message);
}

export interface AuditRow {
  action: string;
  actor_kind: string;
  actor: string | null;
  subject_kind: string;
  customer_id: number | null;
  request_id: string;
  details: string;
}

/** What the audit trail says was done to someone or something, oldest first. */
export async function auditOf(subject: string): Promise<AuditRow[]> {
  const { results } = await env.DB.prepare(
    "SELECT * FROM audit_events WHERE subject = ? ORDER BY id",
  )
    .bind(subject)
    .all<AuditRow>();
  return results;
}

/** The server's clock, to be set as the test likes, until it ends. */
export function travel(): { to: (ms: number) => void } {
  const clock = vi.spyOn(systemClock, "now");
  onTestFinished(() => clock.mockRestore());
  return { to: (ms) => clock.mockReturnValue(ms) };
}
