/** Jobs without an account: made by anyone, read with their token alone, seen by staff like any job. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { decodeJwt } from "jose";
import { afterEach, describe, test, vi } from "vitest";
import { keyUseQuery, readKeyUse } from "../../../scripts/lib/token-secrets.ts";
import { createApp } from "../../../src/app.ts";
import { customers, idempotencyKeys, users } from "../../../src/db/schema.ts";
import { ANONYMOUS } from "../../../src/identity/anonymous.ts";
import { createAnonymousJobRoute } from "../../../src/jobs/anonymous/contract.ts";
import { generateJobName } from "../../../src/jobs/names.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, systemClock } from "../../../src/lib/clock.ts";
import { pollRoute } from "../../../src/nodes/contract.ts";
import {
  API,
  appDeps,
  call,
  expectContract,
  expectError,
  join,
  poll,
  putResult,
  type Reply,
  resultBody,
  tokens,
  V0,
} from "../harness/client.ts";
import { createCustomer, createPerson, type TestJob } from "../harness/factories.ts";
import { costOf, flushed, rated, travel } from "../harness/instruments.ts";
import { auditOf, countOf, db, insertSession, jobRow, setJob, userRow } from "../harness/rows.ts";
import { countWithoutEnd } from "../harness/time.ts";

const CUSTOMER = "a9d0b1e5-0000-4000-8000-000000000000";

afterEach(() => {
  vi.restoreAllMocks();
});

const create = (body?: unknown, headers: Record<string, string> = {}) =>
  call("POST", "/jobs/anonymous", { body, headers });

/** A job without an account; `owner` is nobody, and there for the harness alone. */
async function anonymousJob(body?: unknown): Promise<TestJob> {
  const reply = await create(body);
  if (reply.status !== 201) throw new Error(`creating answered ${reply.status}: ${reply.text}`);
  const { id, token } = reply.body;
  return { id, token, owner: { id: 0, uuid: ANONYMOUS.userUuid, customerId: 0, token: "" } };
}

async function completed(): Promise<{ job: TestJob; taskId: string }> {
  const job = await anonymousJob();
  const taskId = (await join(job)).body.id;
  await putResult(job, taskId, 0);
  await flushed(job);
  return { job, taskId };
}

function later(ms: number): void {
  vi.spyOn(systemClock, "now").mockReturnValue(Date.now() + ms);
}

describe("what its machine sends", () => {
  const KIB = 1_024;
  const figures = { gpu_id: "GPU-0", bf16_tflops: 452.2, memory_bandwidth_gbs: 3254.42 };
  const pair = { connection_type: "NV18", duplex_gbs: 700, simplex_gbs: 380 };
  const known = {
    aggregate_results: { ...figures, gpu_bandwidth_matrix: { gpu0_to_gpu1: pair } },
    test_results: [figures],
    timestamp: "2026-01-01T00:05:00Z",
    measurement: { version: 1, methods: {}, steps: [{ any: "thing" }] },
    replayed: true,
    partial: ["l2_bandwidth_gbs"],
  };

  async function stored(results: object): Promise<unknown> {
    const job = await anonymousJob();
    const { id } = (await join(job)).body;
    const reply = await putResult(job, id, 0, resultBody(results));
    if (reply.status !== 200) return reply;
    // A repeat is the same result, whatever was left out of it.
    expectStatus(await putResult(job, id, 0, resultBody(results)), 200);
    return (await poll(job)).body.detail.tasks[0].benchmark_results.quick_mark.results;
  }

  function expectStatus(reply: Reply, status: number): void {
    if (reply.status !== status) throw new Error(`answered ${reply.status}: ${reply.text}`);
  }

  test("the known fields of a result are kept, others are left out", async ({ expect }) => {
    expect(await stored(known)).toEqual(known);
    const padded = {
      ...known,
      aggregate_results: {
        ...known.aggregate_results,
        padding: "x",
        gpu_bandwidth_matrix: { gpu0_to_gpu1: { ...pair, padding: "x" } },
      },
      test_results: [{ ...figures, padding: { deep: ["x"] } }],
      padding: "x".repeat(10_000),
    };
    expect(await stored(padded)).toEqual(known);
  });

  test("a result has at most 64 KiB, its fields without a form 32 KiB", async ({ expect }) => {
    const padded = { ...known, padding: "x".repeat(65 * KIB) };
    const refused = (await stored(padded)) as Reply;
    const message = "A result must have at most 64 KiB in a job without an account";
    expectError(expect, refused, 413, "REQUEST_TOO_LARGE", message);
    const measurement = { version: 1, methods: {}, note: "ä".repeat(15 * KIB) };
    expect(await stored({ ...known, measurement })).toEqual({ ...known, measurement });
    const free = (await stored({ ...known, measurement, partial: "x".repeat(3 * KIB) })) as Reply;
    const about = "measurement, replayed, partial, taken together,";
    expectError(
      expect,
      free,
      413,
      "REQUEST_TOO_LARGE",
      `${about} must have at most 32 KiB in a job without an account`,
    );
  });

  test("an inventory has at most 32 KiB, and a refused one joins nothing", async ({ expect }) => {
    const job = await anonymousJob();
    const large = await join(job, { inventory: { note: "x".repeat(32 * KIB) } });
    const message = "The inventory must have at most 32 KiB in a job without an account";
    expectError(expect, large, 413, "REQUEST_TOO_LARGE", message);
    expectStatus(await join(job, { inventory: { note: "x".repeat(31 * KIB) } }), 201);
  });
});

describe("creating one", () => {
  test.for([
    ["no body", undefined],
    ["an empty object", {}],
    ["everything that is the same as nothing", { benchmarks: [], node_count: 1, tags: null }],
    ["null for what needs an account", { name: null, spec: null, description: null }],
    ["a key of a newer client", { colour: "blue" }],
  ] as const)("%s", async ([, body], { expect }) => {
    const reply = await create(body);
    expectContract(expect, reply, createAnonymousJobRoute, 201);
    const { id, name, token, created_at, expires_at, ...rest } = reply.body;
    expect(rest).toEqual({
      description: null,
      node_count: 1,
      benchmarks: ["quick_mark"],
      tags: [],
      join_command: `curl -fsSL https://assay.test/agent | sh -s -- --host https://assay.test --token ${token}`,
    });
    expect(name).toMatch(/^job-\d{8}-\d{6}-[a-z]{4}$/);
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(DAY_MS);
    expect(decodeJwt(token).sub).toBe(id);
    expect(await jobRow({ id })).toMatchObject({ userId: 0, customerId: 0 });
  });

  test.for([
    ["quick_mark"],
    [{ benchmark_id: "quick_mark" }],
    [{ benchmark_id: "quick_mark", config: null }],
    [{ benchmark_id: "quick_mark", config: {} }],
  ])("quick_mark, written as %j", async ([benchmark], { expect }) => {
    const reply = await create({ benchmarks: [benchmark] });
    expectContract(expect, reply, createAnonymousJobRoute, 201);
    expect(reply.body.benchmarks).toEqual(["quick_mark"]);
  });

  test("description and tags are those of any job", async ({ expect }) => {
    const reply = await create({ description: "Mine", tags: [" a ", "a", "Größe"] });
    expect(reply.status, reply.text).toBe(201);
    expect(reply.body).toMatchObject({ description: "Mine", tags: ["a", "Größe"] });
  });

  test.for([
    ["name", { name: "Mine" }, "name cannot be chosen without an account: it is generated"],
    ["name", { name: "" }, "name cannot be chosen without an account: it is generated"],
    ...["spec", "expected_spec", "provider", "region", "order"].map(
      (field) =>
        [
          field,
          { [field]: "mine" },
          `${field} needs an account: sign in, or leave it out`,
        ] as const,
    ),
    [
      "benchmarks.0",
      { benchmarks: ["cluster_network"] },
      "benchmarks.0 must be quick_mark: other benchmarks need an account",
    ],
    ["benchmarks.0", { benchmarks: ["no_such"] }, undefined],
    ["benchmarks.0.benchmark_id", { benchmarks: [{ benchmark_id: "cluster_network" }] }, undefined],
    [
      "benchmarks.0.config.a",
      { benchmarks: [{ benchmark_id: "quick_mark", config: { a: 1 } }] },
      undefined,
    ],
    ["benchmarks", { benchmarks: ["quick_mark", "quick_mark"] }, undefined],
    ["benchmarks", { benchmarks: "quick_mark" }, undefined],
    ["benchmarks", { benchmarks: null }, undefined],
    ["node_count", { node_count: 2 }, "node_count must be 1: more nodes need an account"],
    ["node_count", { node_count: 0 }, undefined],
    ["node_count", { node_count: "1" }, undefined],
    ["tags.0", { tags: ["<b>"] }, undefined],
    ["tags", { tags: Array.from({ length: 11 }, (_, at) => `t${at}`) }, undefined],
    ["description", { description: "x".repeat(513) }, undefined],
  ] as const)("400 names %s: %j", async ([field, body, message], { expect }) => {
    const reply = await create(body);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    const fields = reply.body.error.details.map((each: { field: string }) => each.field);
    expect([...new Set(fields)]).toEqual([field]);
  });

  test("a body that is no JSON object is refused as everywhere", async ({ expect }) => {
    expectError(expect, await create("{"), 400, "PARAMETER_INCORRECT_VALUE");
    expectError(expect, await create("[]"), 400, "PARAMETER_INCORRECT_VALUE");
    const text = await create("a=b", { "content-type": "text/plain" });
    expectError(expect, text, 415, "UNSUPPORTED_MEDIA_TYPE");
    const large = await create({ description: "x".repeat(300_000) });
    expectError(expect, large, 413, "REQUEST_TOO_LARGE");
  });

  test("a generated name that is taken is drawn again: nobody learns of it", async ({ expect }) => {
    const now = Date.now();
    const middle = () => 0.5;
    vi.spyOn(systemClock, "now").mockReturnValue(now);
    const random = vi.spyOn(Math, "random").mockImplementation(middle);
    const first = await create();
    expect(first.body.name).toBe(generateJobName(now, middle));
    random.mockReturnValue(0.9);
    // The four letters of the first draw.
    for (let draw = 0; draw < 4; draw++) random.mockImplementationOnce(middle);
    const second = await create();
    expect(second.status, second.text).toBe(201);
    expect(second.body.name).toBe(generateJobName(now, () => 0.9));
  });

  test("a repeat with an Idempotency-Key makes a second job, and stores no key", async ({
    expect,
  }) => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const [first, second] = [await create({}, headers), await create({}, headers)];
    expect(second.body.id).not.toBe(first.body.id);
    expect(second.headers.has("idempotency-replayed")).toBe(false);
    const isKey = eq(idempotencyKeys.key, headers["idempotency-key"]);
    expect(await countOf(idempotencyKeys, isKey)).toBe(0);
  });

  test("an account makes no difference", async ({ expect }) => {
    const { token } = await createPerson({ role: "root_admin" });
    const reply = await call("POST", "/jobs/anonymous", { token });
    expect(await jobRow(reply.body)).toMatchObject({ userId: 0, customerId: 0 });
  });

  test("one D1 round trip and no hop", async ({ expect }) => {
    expect(await costOf(() => create())).toMatchObject({
      route: "/api/silicon-mark/v1/jobs/anonymous",
      status: 201,
      d1_round_trips: 1,
      object_hops: 0,
    });
  });

  test("five a minute from one address, refused ones among them, then 429", async ({ expect }) => {
    countWithoutEnd();
    const address = { "cf-connecting-ip": "192.0.2.77" };
    const first = await create({}, address);
    expect(first.headers.get("ratelimit-policy")).toBe('"anonymous";q=5;w=60');
    const others: Reply[] = [];
    for (let sent = 1; sent < 6; sent++) others.push(await create({ name: "x" }, address));
    expect(others.map(({ status }) => status)).toEqual([400, 400, 400, 400, 429]);
    const last = others.at(-1);
    expect(last?.headers.get("retry-after")).toBe("60");
    expect((await create({}, { "cf-connecting-ip": "192.0.2.78" })).status).toBe(201);
  });
});

describe("its token", () => {
  test("says until when nodes work with it, and lasts for seven days", async ({ expect }) => {
    const reply = await create();
    const { iat = 0, exp = 0, work_until } = decodeJwt(reply.body.token);
    const createdAt = Math.floor(Date.parse(reply.body.created_at) / SECOND_MS);
    expect([iat, exp - iat, Number(work_until) - iat]).toEqual([createdAt, 604_800, 86_400]);
  });

  test("the whole life: joins, reports, completes, and is read all along", async ({ expect }) => {
    const job = await anonymousJob({ tags: ["mine"] });
    const read = async (state: string, directive: string) => {
      const reply = await poll(job);
      expectContract(expect, reply, pollRoute, 200);
      expect(reply.body).toMatchObject({ id: job.id, state, directive, step: null, task: null });
      const { detail } = reply.body;
      expect(detail).toMatchObject({ id: job.id, state, tags: ["mine"], token: job.token });
      expect(Number(reply.headers.get("retry-after"))).toBeGreaterThanOrEqual(2);
      return { ...reply.body, reply };
    };
    const created = await read("created", "join");
    expect(created).toMatchObject({ node_count: 1, current_nodes: 0, detail: { tasks: [] } });
    const { id: taskId } = (await join(job)).body;
    const running = await read("running", "join");
    expect(running).toMatchObject({ current_nodes: 1, detail: { tasks: [{ id: taskId }] } });
    await putResult(job, taskId, 0);
    const live = await read("completed", "stop");
    expect(live.detail.quickmark_aggregate_results.metrics.bf16_tflops.total).toBe(452.2);
    await rated(job);
    const settled = await read("completed", "stop");
    expect(settled.detail).toMatchObject({
      ...live.detail,
      scoreboard_summary: { status: "unrated", metrics: [{ ratio: 1 }, {}, {}] },
      findings: [],
      pdf_report_url: null,
    });
  });

  test("is the same as what staff read, apart from who asks", async ({ expect }) => {
    const { job } = await completed();
    const staff = await createPerson({ role: "staff" });
    const seen = await call("GET", `/jobs/${job.id}`, { token: staff.token });
    expect((await poll(job)).body.detail).toEqual(seen.body);
  });

  test("nothing new is 304; progress of the node is new", async ({ expect }) => {
    const job = await anonymousJob();
    const { id: taskId } = (await join(job)).body;
    const { headers } = await poll(job);
    const held = { "if-none-match": headers.get("etag") ?? "" };
    expect(held["if-none-match"]).toMatch(/^W\//);
    const again = await poll(job, undefined, held);
    expect([again.status, again.text]).toEqual([304, ""]);
    expect(again.headers.get("etag")).toBe(held["if-none-match"]);
    const path = `/jobs/current/tasks/${taskId}`;
    await call("PATCH", path, { token: job.token, body: { progress: 0.5 } });
    const news = await poll(job, undefined, held);
    expect(news.status).toBe(200);
    expect(news.body.detail.tasks[0].progress).toBe(0.5);
  });

  test("a running agent's poll has no detail and asks no database", async ({ expect }) => {
    const job = await anonymousJob();
    const { id: taskId } = (await join(job)).body;
    const reply = await poll(job, taskId);
    expectContract(expect, reply, pollRoute, 200);
    expect(reply.body).not.toHaveProperty("detail");
    expect(reply.body.directive).toBe("run");
    const idle = { d1_round_trips: 0, object_hops: 1 };
    expect(await costOf(() => poll(job, taskId))).toMatchObject({ status: 200, ...idle });
    const held = { "if-none-match": reply.headers.get("etag") ?? "" };
    expect(await costOf(() => poll(job, taskId, held))).toMatchObject({ status: 304, ...idle });
  });

  test("reading: one D1 round trip, and a hop only while the job lives", async ({ expect }) => {
    const job = await anonymousJob();
    const one = { status: 200, d1_round_trips: 1, object_hops: 0 };
    expect(await costOf(() => poll(job)), "nobody has joined").toMatchObject(one);
    const row = await jobRow(job);
    expect(row, "reading brings no object to life").toMatchObject({ coordinated: false });
    const { id: taskId } = (await join(job)).body;
    expect(await costOf(() => poll(job))).toMatchObject({ ...one, object_hops: 1 });
    await putResult(job, taskId, 0);
    await flushed(job);
    expect(await costOf(() => poll(job))).toMatchObject(one);
  });

  test("reading is limited by address, an agent's poll by job", async ({ expect }) => {
    const job = await anonymousJob();
    const { id: taskId } = (await join(job)).body;
    const policy = async (reply: Promise<Reply>) => (await reply).headers.get("ratelimit-policy");
    expect(await policy(poll(job))).toBe('"address";q=300;w=10');
    expect(await policy(poll(job, taskId))).toBe('"node-2";q=50;w=10');
  });

  test("an account's job is not read that way: its token has no detail", async ({ expect }) => {
    const { token } = await createPerson();
    const made = await call("POST", "/jobs", { token, body: { benchmarks: [] } });
    const reply = await call("GET", "/jobs/current", { token: made.body.token });
    expectContract(expect, reply, pollRoute, 200);
    expect(reply.body).not.toHaveProperty("detail");
    expect(decodeJwt(made.body.token)).not.toHaveProperty("work_until");
  });

  test("one that claims to read an account's job finds nothing there", async ({ expect }) => {
    const { token } = await createPerson();
    const made = await call("POST", "/jobs", { token, body: { benchmarks: [] } });
    const now = systemClock.now();
    const forged = await (await tokens()).sign(
      "job",
      { sub: made.body.id, work_until: 0 },
      { from: now, until: now + DAY_MS },
    );
    const reply = await call("GET", "/jobs/current", { token: forged });
    expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Invalid or expired job token");
  });

  test("after 24 hours it reads, and every other call of a node is 401", async ({ expect }) => {
    const { job, taskId } = await completed();
    later(DAY_MS - 60 * SECOND_MS);
    expect((await join(job)).status, "the job has ended, the token works").toBe(409);
    later(DAY_MS + SECOND_MS);
    const refused = [
      await join(job),
      await call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body: {} }),
      await putResult(job, taskId, 0),
    ];
    for (const reply of refused) {
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Invalid or expired job token");
    }
    expect(await auditOf("POST /api/silicon-mark/v1/jobs/current/tasks")).not.toContainEqual(
      expect.objectContaining({ actor: job.id }),
    );
    for (const reply of [await poll(job), await poll(job, taskId)]) {
      expectContract(expect, reply, pollRoute, 200);
      expect(reply.body).toMatchObject({
        directive: "stop",
        task: null,
        detail: { state: "completed", tasks: [{ id: taskId }] },
      });
    }
    const cost = { d1_round_trips: 1, object_hops: 0 };
    expect(await costOf(() => poll(job, taskId))).toMatchObject(cost);
    later(7 * DAY_MS - HOUR_MS);
    expect((await poll(job)).status).toBe(200);
    later(7 * DAY_MS + SECOND_MS);
    expectError(expect, await poll(job), 401, "CLIENT_TOKEN_INVALID");
  });

  test("a job that nobody has joined says stop once its time is over", async ({ expect }) => {
    const job = await anonymousJob();
    later(DAY_MS + SECOND_MS);
    expect((await poll(job)).body).toMatchObject({ directive: "stop", current_nodes: 0 });
  });

  test("a deleted job: stop while its token works, then 401, and never a detail", async ({
    expect,
  }) => {
    const jobs = [await anonymousJob(), (await completed()).job];
    for (const job of jobs) {
      await setJob(job, { deletedAt: 1 });
      const reply = await poll(job);
      expectContract(expect, reply, pollRoute, 200);
      expect(reply.body.directive).toBe("stop");
      expect(reply.body).not.toHaveProperty("detail");
    }
    later(DAY_MS + SECOND_MS);
    for (const job of jobs) expectError(expect, await poll(job), 401, "CLIENT_TOKEN_INVALID");
  });

  test("the secret that signed it is in use for seven days", async ({ expect }) => {
    const job = await anonymousJob();
    const keyId = `key-${job.id}`;
    await setJob(job, { tokenKeyId: keyId });
    const isInUse = async (at: number) => {
      const { results } = await env.DB.prepare(keyUseQuery(at)).all<{
        kind: string;
        key_id: string;
        at: number;
      }>();
      return readKeyUse(results).inUse.has(keyId);
    };
    const now = Date.now();
    expect(await isInUse(now + 6 * DAY_MS)).toBe(true);
    expect(await isInUse(now + 8 * DAY_MS)).toBe(false);
  });
});

describe("who sees it", () => {
  test("staff and root administrators like any job; they neither abort nor delete it", async ({
    expect,
  }) => {
    const job = await anonymousJob({ tags: ["mine"] });
    for (const role of ["staff", "root_admin"] as const) {
      const { token } = await createPerson({ role });
      // Lists are read from tables, and by name or tag from the full-text ones.
      const { name } = await jobRow(job);
      for (const query of ["", `&name=${name}`, `&name=${name}&tags=mine`, "&tags=mine"]) {
        // An isolate that has not derived its token yet.
        const app = await createApp(appDeps());
        const listed = await app.request(`${API}/jobs?per_page=300${query}`, {
          headers: { authorization: `Bearer ${token}` },
        });
        const { results } = await listed.json<{ results: { id: string }[] }>();
        const found = results.find(({ id }) => id === job.id);
        expect(found, query).toMatchObject({ name, token: job.token });
      }
      expect((await call("GET", `/jobs/${job.id}`, { token })).status).toBe(200);
      const abort = await call("POST", `/jobs/${job.id}/abort`, { token });
      expectError(expect, abort, 403, "PERMISSION_DENIED");
      const body = { id: job.id };
      const remove = await call("DELETE", "/jobs/delete", { token, body });
      expectError(expect, remove, 403, "PERMISSION_DENIED");
    }
  });

  test("nobody else: 404", async ({ expect }) => {
    const job = await anonymousJob();
    for (const role of ["user", "customer_admin"] as const) {
      const { token } = await createPerson({ role });
      expectError(
        expect,
        await call("GET", `/jobs/${job.id}`, { token }),
        404,
        "RESOURCE_NOT_FOUND",
      );
    }
  });
});

describe("the customer and the person it belongs to", () => {
  const asRoot = async () => (await createPerson({ role: "root_admin" })).token;

  test("root administrators see both, others neither", async ({ expect }) => {
    const token = await asRoot();
    const customer = await call("GET", `${V0}/customers/${CUSTOMER}`, { token });
    expect(customer.body).toMatchObject({ name: "Anonymous", slug: "anonymous" });
    const person = await call("GET", `${V0}/users/${ANONYMOUS.userUuid}`, { token });
    expect(person.body).toMatchObject({ name: "Anonymous", role: "user", locked: true });
    const admin = await createPerson({ role: "customer_admin" });
    for (const path of [`customers/${CUSTOMER}`, `users/${ANONYMOUS.userUuid}`]) {
      expect((await call("GET", `${V0}/${path}`, { token: admin.token })).status).toBe(404);
    }
  });

  test.for([
    ["PATCH", `customers/${CUSTOMER}`, { name: "Mine" }],
    ["PATCH", `customers/${CUSTOMER}`, { slug: "mine" }],
    ["PATCH", "customers/anonymous", {}],
    ["PATCH", `users/${ANONYMOUS.userUuid}`, { locked: false }],
    ["PATCH", `users/${ANONYMOUS.userUuid}`, { password: "correct horse battery staple" }],
    ["PATCH", `users/${ANONYMOUS.userUuid}`, { role: "root_admin" }],
    ["PATCH", "users/anonymous", { name: "Me" }],
    ["DELETE", `users/${ANONYMOUS.userUuid}`, undefined],
    ["POST", `users/${ANONYMOUS.userUuid}/password-link`, undefined],
    ["POST", `users/${ANONYMOUS.userUuid}/tokens`, { name: "t" }],
  ] as const)("%s %s %j is refused", async ([method, path, body], { expect }) => {
    const rows = async () => [
      await userRow({ id: 0 }),
      await db.select().from(customers).where(eq(customers.id, 0)),
    ];
    const before = await rows();
    const reply = await call(method, `${V0}/${path}`, { token: await asRoot(), body });
    expectError(expect, reply, 403, "PERMISSION_DENIED");
    expect(await rows()).toEqual(before);
  });

  test("nobody joins the customer, by creation or by moving", async ({ expect }) => {
    const token = await asRoot();
    const person = await createPerson({ customerId: await createCustomer() });
    const message = "The customer of jobs without an account cannot have people";
    for (const customer of [CUSTOMER, "anonymous"]) {
      const move = await call("PATCH", `${V0}/users/${person.uuid}`, { token, body: { customer } });
      expectError(expect, move, 403, "PERMISSION_DENIED", message);
      const email = `${crypto.randomUUID()}@example.com`;
      const body = { email, name: "N", password: "correct horse battery staple", customer };
      const made = await call("POST", `${V0}/users`, { token, body });
      expectError(expect, made, 403, "PERMISSION_DENIED", message);
    }
    expect(await countOf(users, eq(users.customerId, 0))).toBe(1);
  });

  test("the person cannot sign in, and no session of it works", async ({ expect }) => {
    const body = { email: "anonymous@assay.invalid", password: "" };
    const now = systemClock.now();
    const time = travel();
    for (const password of ["anonymous", "x".repeat(64)]) {
      const reply = await call("POST", "https://assay.test/api/user/login", {
        body: { ...body, password },
      });
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID");
      // An account takes a failed sign-in only once in a while.
      time.to(now + MINUTE_MS);
    }
    time.to(now);
    const sid = crypto.randomUUID();
    await insertSession({ uuid: sid, userId: 0, createdAt: now, expiresAt: now + HOUR_MS });
    const token = await (await tokens()).sign(
      "user",
      { sub: ANONYMOUS.userUuid, sid },
      { from: now, until: now + HOUR_MS },
    );
    expect((await call("GET", "/jobs", { token })).status).toBe(401);
  });
});
