/**
 * The hot routes as a good engineer writes them in Hono: the same replies, rows and promises by the usual means. What the
 * rows mean is the product's own code; how a request passes is not. Every caller's token is checked and counted; every
 * reply has its id, headers and line in the log.
 */
import { and, between, desc, eq, getTableColumns, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { etag } from "hono/etag";
import { requestId } from "hono/request-id";
import { secureHeaders } from "hono/secure-headers";
import { CATALOGUE } from "../../src/benchmarks/catalogue.ts";
import { planSequence } from "../../src/benchmarks/sequence.ts";
import { extentsOf, layOut, resultSizes } from "../../src/db/bodies.ts";
import { uniqueViolation } from "../../src/db/errors.ts";
import { insertFrom } from "../../src/db/insert-from.ts";
import { nodeVerdictText, readNodeVerdict } from "../../src/db/node-verdict.ts";
import { jobCounts, jobs, tasks } from "../../src/db/schema.ts";
import { counterKey } from "../../src/identity/actor.ts";
import { keyIdOf } from "../../src/identity/lifetimes.ts";
import { toBenchmarkWire } from "../../src/jobs/catalogue-contract.ts";
import { createJobBody } from "../../src/jobs/create-schema.ts";
import { isJoinable, joinCommandOf, toCreatedJob } from "../../src/jobs/created-wire.ts";
import { LISTED_COLUMNS } from "../../src/jobs/list-columns.ts";
import { listJobsQuery } from "../../src/jobs/list-parameters.ts";
import { generateJobName } from "../../src/jobs/names.ts";
import { exceededQuota, quotaValues } from "../../src/jobs/quotas.ts";
import { toJobRecord, toTaskRecord } from "../../src/jobs/records.ts";
import { visibleTo } from "../../src/jobs/store.ts";
import { type JobView, toJobFacts, toListedJob, toTaskDetail } from "../../src/jobs/wire.ts";
import { KIB, MIB } from "../../src/lib/bytes.ts";
import { DAY_MS } from "../../src/lib/clock.ts";
import { JobIdSource, jobCreatedAt, taskIdRange } from "../../src/lib/ids.ts";
import { findFacts } from "../../src/runners/facts-store.ts";
import { toPerformanceNode } from "../../src/scoreboard/verdict-wire.ts";
import type { BaselineEnv } from "./env.ts";
import { type Caller, callerOf, countCall, jobTokenOf, type Kind } from "./plain-callers.ts";

export { PlainJob } from "./plain-job.ts";

interface Env {
  Bindings: BaselineEnv;
  Variables: { caller: Caller; session: D1DatabaseSession; isRoutine?: true };
}

const JOBS = "/api/silicon-mark/v1/jobs";
const LOG_ONE_IN = 100;
const SCALE = 1_000_000;
const QUOTAS = {
  ...{ anonymousLiveJobs: null, anonymousBytes: null },
  ...{ customerJobsPerDay: 100 * SCALE, customerBytes: 100 * KIB * MIB },
};
const TRIES = 4;
const ids = new JobIdSource({ now: Date.now });
let routine = 0;

const app = new Hono<Env>();

app.use(requestId());
app.use(
  secureHeaders({
    contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    crossOriginResourcePolicy: "cross-origin",
    xFrameOptions: "DENY",
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  }),
);
app.use(async (c, next) => {
  const from = Date.now();
  c.set("session", c.env.DB.withSession(c.req.header("x-d1-bookmark") ?? "first-primary"));
  await next();
  c.header("Access-Control-Allow-Origin", "*");
  if (!c.res.headers.has("Cache-Control")) c.header("Cache-Control", "private, no-cache");
  const bookmark = c.get("session").getBookmark();
  if (bookmark !== null) c.header("X-D1-Bookmark", bookmark);
  if (c.get("isRoutine") && ++routine % LOG_ONE_IN !== 0) return;
  const { method, routePath: route } = c.req;
  const line = { level: "info", event: "request", request_id: c.get("requestId"), method, route };
  const outcome = { status: c.res.status, ms: Date.now() - from, caller: c.get("caller").id };
  console.log(JSON.stringify({ ...line, ...outcome }));
});

/** Admits callers with a token of this kind. */
function by(kind: Kind): MiddlewareHandler<Env> {
  return async (c, next) => {
    const token = /^Bearer (\S+)$/.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
    const sent = kind === "runner" ? `${c.req.param("runner")} ${token}` : token;
    const caller = await callerOf(c.env, kind, sent);
    countCall(kind, caller, SCALE);
    c.header("RateLimit-Policy", `"${kind}";q=500;w=10`);
    c.set("caller", caller);
    await next();
  };
}

const scopeOf = ({ userId, customerId }: Caller) => ({ kind: "user" as const, userId, customerId });

app.get("/api/silicon-mark/v1/benchmarks", by("user"), etag(), (c) =>
  c.json({ benchmarks: CATALOGUE.map(toBenchmarkWire) }),
);

app.get(JOBS, by("user"), async (c) => {
  const { page, per_page } = listJobsQuery.parse(c.req.query());
  const scope = scopeOf(c.get("caller"));
  const db = drizzle(c.get("session") as unknown as D1Database);
  const [rows, [count]] = await db.batch([
    db
      .select(LISTED_COLUMNS)
      .from(jobs)
      .where(visibleTo(scope))
      .orderBy(desc(jobs.id))
      .limit(per_page)
      .offset((page - 1) * per_page),
    db
      .select({ total: sql<number>`coalesce(sum(${jobCounts.jobs}), 0)` })
      .from(jobCounts)
      .where(eq(jobCounts.scope, counterKey(scope))),
  ]);
  const tokens = await Promise.all(rows.map((row) => jobTokenOf(c.env, row)));
  const results = rows.map((row, at) => ({
    ...toListedJob({ ...row, verdict: null }, tokens[at] ?? ""),
    performance_nodes: null,
  }));
  const total = count?.total ?? 0;
  const total_pages = Math.ceil(total / per_page);
  const link = (to: number, rel: string) => `<${new URL(`?page=${to}`, c.req.url)}>; rel="${rel}"`;
  const links = [link(1, "first"), link(page + 1, "next"), link(total_pages, "last")];
  c.header("X-Total-Count", String(total));
  c.header("Link", links.join(", "));
  const has_next = page < total_pages;
  const next_cursor = has_next ? btoa(JSON.stringify([rows.at(-1)?.id])) : null;
  const has = { has_next, has_prev: page > 1, next_cursor };
  const pagination = { page, per_page, total, total_pages, ...has };
  return c.json({ results, pagination });
});

app.get(`${JOBS}/current`, by("job"), async (c) => {
  c.set("isRoutine", true);
  const task = await nodeOf(c, c.req.query("task_id") ?? "");
  const { JOB } = c.env;
  const stub = JOB.get(JOB.idFromName(c.get("caller").id));
  const reply = await stub.poll(task, c.req.header("if-none-match") ?? null);
  c.header("ETag", reply.etag);
  c.header("Retry-After", String(Math.ceil(reply.wait)));
  if (reply.text === null) return c.body(null, 304);
  return c.body(reply.text, 200, { "Content-Type": "application/json" });
});

app.get(`${JOBS}/:job_id`, by("user"), etag(), async (c) => {
  const id = Number(c.req.param("job_id"));
  const db = drizzle(c.get("session") as unknown as D1Database);
  const own = and(eq(jobs.id, id), visibleTo(scopeOf(c.get("caller"))));
  const [[row], all] = await db.batch([
    db.select().from(jobs).where(own),
    db
      .select({ ...getTableColumns(tasks), verdict: sql<string | null>`${nodeVerdictText}` })
      .from(tasks)
      .where(between(tasks.id, ...taskIdRange(id))),
  ]);
  if (row === undefined) return c.notFound();
  const stored = await c.env.BUCKET.get(`results/${id}`).then((object) => object?.arrayBuffer());
  const records = all.map(toTaskRecord);
  const { offsets } = layOut(records.map(({ bodies }) => bodies));
  const view: JobView = {
    ...{ row, job: toJobRecord(row), tasks: records, verdicts: [] },
    bodies: { extents: [], source: { from: 0, open: async () => null, discard() {} } },
  };
  const token = await jobTokenOf(c.env, row);
  const linkOf = (of: number, hash?: string | null) => (hash ? `/reports/${of}` : null);
  const facts = toJobFacts(view, token, linkOf);
  const shown = records.map((task, rank) => {
    const extents = extentsOf({ sizes: resultSizes(task.bodies), offset: offsets[rank] ?? 0 });
    const wire = toTaskDetail(view, task, new Map(), linkOf);
    const text = (at: number, bytes: number) =>
      new TextDecoder().decode(new Uint8Array(stored ?? new ArrayBuffer(), at, bytes));
    const results = Object.entries(wire.benchmark_results ?? {}).map(([key, result], position) => {
      const { at = 0, bytes = 0 } = extents.get(position) ?? {};
      return [key, { ...result, results: JSON.parse(text(at, bytes)) }];
    });
    return { ...wire, benchmark_results: Object.fromEntries(results) };
  });
  const nodes = all.flatMap(({ id, verdict }) =>
    verdict === null
      ? []
      : [toPerformanceNode({ id, verdict: readNodeVerdict(JSON.parse(verdict)) })],
  );
  const scoreboard_summary = facts.scoreboard_summary && { ...facts.scoreboard_summary, nodes };
  const { origin } = new URL(c.req.url);
  const join_command = isJoinable(view) ? joinCommandOf(origin, token) : null;
  return c.json({ ...facts, join_command, scoreboard_summary, tasks: shown });
});

app.post(JOBS, by("user"), bodyLimit({ maxSize: 256 * KIB }), async (c) => {
  const input = createJobBody.parse(await c.req.json());
  const planned = planSequence(input.benchmarks, input.node_count);
  if (!planned.ok) return c.json({ message: "unknown benchmark" }, 400);
  const { userId, customerId } = c.get("caller");
  const db = drizzle(c.get("session") as unknown as D1Database);
  for (let tries = 1; ; tries++) {
    const id = ids.next();
    const now = jobCreatedAt(id);
    const row = {
      ...{ id, userId, customerId, name: input.name ?? generateJobName(now) },
      ...{ description: input.description ?? null, nodeCount: input.node_count },
      ...{ sequence: planned.sequence, tags: input.tags ?? [] },
      ...{ tokenKeyId: keyIdOf(c.env.TOKEN_SECRET), flushedAt: now },
      ...{ createdAt: now, expiresAt: now + DAY_MS, checkAt: now + DAY_MS },
      ...{ state: "created" as const, origin: new URL(c.req.url).origin },
    };
    try {
      // In the statement itself, since two requests at once must not pass a quota together.
      const hasQuota = sql`where ${exceededQuota(false, quotaValues(row, QUOTAS))} is null`;
      const created = await insertFrom(db, jobs, row, hasQuota).returning({
        id: jobs.id,
      });
      if (created.length === 0) return c.json({ message: "a quota is full" }, 429);
    } catch (error) {
      const isNamed = input.name != null && uniqueViolation(error)?.includes("jobs.name");
      if (isNamed) return c.json({ message: "the name is taken" }, 409);
      // Another isolate may have drawn the same id.
      if (tries === TRIES) throw error;
      continue;
    }
    return c.json(toCreatedJob(row, await jobTokenOf(c.env, row), row.origin), 201);
  }
});

app.put(
  `${JOBS}/current/tasks/:task_id/results/:position`,
  by("job"),
  bodyLimit({ maxSize: MIB }),
  async (c) => {
    const task = await nodeOf(c, c.req.param("task_id"));
    const { JOB } = c.env;
    const stub = JOB.get(JOB.idFromName(c.get("caller").id));
    const stored = await stub.putResult(task, Number(c.req.param("position")), await c.req.text());
    if (stored === null) return c.json({ message: "the result is not valid" }, 400);
    c.header("ETag", stored.etag);
    return c.json(stored.reply);
  },
);

app.post("/v0/runners/:runner/jobs", by("runner"), async (c) => {
  await c.req.json();
  const { specs } = c.get("caller");
  const now = Date.now();
  const facts = await findFacts(drizzle(c.env.DB), specs, now, { contactAfter: now - 60_000 });
  if (facts.jobs.length > 0) return c.json({ message: "a bench runner has a job" }, 500);
  c.set("isRoutine", true);
  c.header("Retry-After", String(5 + Math.floor(Math.random() * 6)));
  return c.json(null);
});

/** The task that a node names, by its own token. */
async function nodeOf(c: Context<Env>, taskId: string): Promise<number> {
  const { id } = await callerOf(c.env, "task", c.req.header("assay-task-token") ?? "");
  return id === taskId ? Number(id) : -1;
}

export default app;
