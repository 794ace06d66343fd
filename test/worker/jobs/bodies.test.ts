/** Results and inventories are bytes: in the job's object while it lives, then in R2; replies stream them. */
import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { CoordinatorStorage } from "../../../src/coordinator/storage/storage.ts";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { patient } from "../../patience.ts";
import {
  API,
  appDeps,
  call,
  detail,
  expectError,
  join,
  putResult,
  resultBody,
} from "../harness/client.ts";
import { createJob, createPerson, type Person, type TestJob } from "../harness/factories.ts";
import {
  coordinatorOf,
  costOf,
  farAhead,
  flushed,
  reported,
  travel,
} from "../harness/instruments.ts";
import { jobRow, removeJob, storedTexts, taskRows } from "../harness/rows.ts";
import { eventually, holdTimeouts } from "../harness/time.ts";

const LINK = { source_rank: 0, target_rank: 1, bandwidth_gbps: 10, latency_ms: 0.1 };
const MIB = 1_024 * 1_024;
const INVENTORY = { cpu: "Größe 測試 😀", cores: 64 };

type Played = TestJob & { taskIds: string[] };

/** A job of two nodes with both kinds of steps whose last result is still to come. */
async function played(owner?: Person): Promise<Played & { end(): Promise<void> }> {
  const gpu_model = `GPU ${crypto.randomUUID()}`;
  const benchmarks = [
    "cluster_network",
    { benchmark_id: "cluster_network", config: { duration_seconds: 1 } },
  ];
  const job = await createJob({ node_count: 2, benchmarks }, owner);
  const taskIds: string[] = [];
  for (let node = 0; node < 2; node++) {
    taskIds.push(String((await join(job, { gpu_model, inventory: INVENTORY })).body.id));
  }
  const [one = "", two = ""] = taskIds;
  for (const id of taskIds) {
    const figures = { aggregate_results: { bf16_tflops: 1, memory_bandwidth_gbs: 2 } };
    await putResult(job, id, 0, resultBody({ ...figures, note: `${id} Größe 測試 😀` }));
  }
  const back = { ...LINK, source_rank: 1, target_rank: 0 };
  for (const position of [1, 2]) {
    await putResult(job, one, position, resultBody({ measurements: [LINK] }));
    if (position === 1) await putResult(job, two, position, resultBody({ measurements: [back] }));
  }
  const end = async () => {
    await putResult(job, two, 2, resultBody({ measurements: [back] }));
  };
  return { ...job, taskIds, end };
}

async function completed(owner?: Person): Promise<Played> {
  const job = await played(owner);
  await job.end();
  // Nothing else of it goes to R2 while a test counts or breaks its calls.
  await reported(job);
  return job;
}

/** Everything that shows results, as its owner reads it: status and value. */
async function shown(job: Played) {
  const { token } = job.owner;
  const replies = [
    await detail(job),
    await call("GET", `/jobs/${job.id}/results?include_display_names=true`, { token }),
    await call("GET", `/tasks?job_id=${job.id}&include_results=true`, { token }),
    await call("GET", `/tasks/${job.taskIds[0]}/results`, { token }),
    await call("GET", `/tasks/${job.taskIds[1]}/results`, { token }),
  ];
  return replies.map(({ status, body }) => [status, body]);
}

/** The results in a reply, wherever they are in it. */
function resultsIn(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === "results" || key === "inventory" ? [inner] : resultsIn(inner),
  );
}

/** R2's reads of the job's bodies, the first ones failing: the reports of other tests' jobs may be on their way, too. */
function readsOf({ id }: TestJob, failing = 0) {
  const asked: unknown[] = [];
  const get = env.BUCKET.get.bind(env.BUCKET) as (...args: unknown[]) => Promise<unknown>;
  const spy = vi.spyOn(env.BUCKET, "get").mockImplementation((async (...args: unknown[]) => {
    if (args[0] !== `results/${id}`) return get(...args);
    asked.push(args[1]);
    if (asked.length <= failing) throw new Error("get: (10001)");
    return get(...args);
    // The type has a form for conditional reads, which return something else.
  }) as never);
  onTestFinished(() => void spy.mockRestore());
  return { asked, end: () => spy.mockRestore() };
}

function silent() {
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => void vi.restoreAllMocks());
}

/** Runs the object's alarm at a later time, and waits until the bodies of the job are in R2. */
async function retriedAt(ms: number, job: TestJob): Promise<void> {
  const now = Date.now();
  const time = travel();
  time.to(ms);
  await runDurableObjectAlarm(coordinatorOf(job));
  // Tokens are valid again.
  time.to(now);
  await eventually(async () => {
    if ((await jobRow(job)).bodyBytes === null) throw new Error("the bodies are not in R2");
  });
}

/** Breaks calls of R2 that concern this job's bodies. */
function onPut(job: TestJob, act: (real: () => Promise<unknown>) => Promise<unknown>) {
  const put = env.BUCKET.put.bind(env.BUCKET) as (...args: unknown[]) => Promise<unknown>;
  const spy = vi
    .spyOn(env.BUCKET, "put")
    .mockImplementation((async (...args: unknown[]) =>
      args[0] === `results/${job.id}` ? act(() => put(...args)) : put(...args)) as never);
  onTestFinished(() => void spy.mockRestore());
  return spy;
}

test("a job reads the same from its object and, once it has ended, from R2", async ({ expect }) => {
  const job = await played();
  silent();
  // The object keeps the bodies while R2 refuses them.
  const put = onPut(job, () => Promise.reject(new Error("put: (10001)")));
  await job.end();
  await eventually(() => expect(put).toHaveBeenCalled());
  await eventually(async () => expect((await jobRow(job)).endedAt).not.toBeNull());
  const live = await shown(job);
  for (const [status] of live) expect(status).toBe(200);
  put.mockRestore();
  await retriedAt(farAhead(), job);
  const settled = await shown(job);
  expect(settled.map(resultsIn)).toEqual(live.map(resultsIn));
  expect(JSON.stringify(settled)).toContain("Größe 測試 😀");
  expect(settled.map(resultsIn).map(({ length }) => length)).toEqual([8, 2, 6, 4, 4]);
});

test("one object in R2: each task's results and inventory, then the cluster results again", async ({
  expect,
}) => {
  const job = await completed();
  const texts = await storedTexts(job);
  expect(texts.map(({ position }) => position)).toEqual([0, 1, 2, -1, 0, 1, 2, -1]);
  expect(JSON.parse(texts[3]?.text ?? "")).toEqual(INVENTORY);
  const whole = await (await env.BUCKET.get(`results/${job.id}`))?.text();
  const cluster = [1, 5, 2, 6].map((at) => texts[at]?.text).join("");
  expect(whole).toBe(texts.map(({ text }) => text).join("") + cluster);
  const { bodyBytes, checkAt } = await jobRow(job);
  expect(bodyBytes).toBe(new TextEncoder().encode(whole).length);
  expect(checkAt, "cron has nothing left to do").toBeNull();
});

test("D1 holds no body", async ({ expect }) => {
  const job = await completed();
  const rows = JSON.stringify([await jobRow(job), await taskRows(job)]);
  expect(rows).not.toContain("測試");
  expect(rows).not.toContain("note");
});

test("a job without any body: nothing goes to R2", async ({ expect }) => {
  const job = await createJob({ node_count: 2 });
  await join(job);
  await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  await flushed(job);
  expect(await jobRow(job)).toMatchObject({ bodyBytes: 0, checkAt: null });
  expect(await env.BUCKET.head(`results/${job.id}`)).toBeNull();
  expect((await detail(job)).status).toBe(200);
});

test("16 results of 1 MiB with a character beyond Latin-1, and large inventories: readable before and after the end", {
  timeout: patient(120_000),
}, async ({ expect }) => {
  const job = await createJob({ node_count: 16 });
  const inventory = { text: "測".repeat(20_000) };
  const figures = { aggregate_results: { bf16_tflops: 1, memory_bandwidth_gbs: 2 } };
  const taskIds: string[] = [];
  for (let node = 0; node < 16; node++)
    taskIds.push(String((await join(job, { inventory })).body.id));
  const body = (node: number) =>
    resultBody({ ...figures, note: `Ā ${node} ${"x".repeat(1_000_000)}` });
  for (const [node, id] of taskIds.slice(1).entries()) {
    expect((await putResult(job, id, 0, body(node))).status).toBe(200);
  }
  const live = await detail(job);
  expect(live.status).toBe(200);
  expect(live.text.length).toBeGreaterThan(15_000_000);
  expect(live.headers.get("content-length")).toBeNull();
  expect((await putResult(job, taskIds[0] ?? "", 0, body(16))).status).toBe(200);
  await flushed(job);
  const settled = await detail(job);
  expect(settled.text.length).toBeGreaterThan(16_000_000);
  expect(settled.body.tasks[15].benchmark_results.quick_mark.results.note).toContain("Ā 14 x");
});

describe("what breaks between object, R2 and D1", () => {
  test.for<[string, (real: () => Promise<unknown>) => Promise<unknown>]>([
    ["R2 refuses", () => Promise.reject(new Error("put: (10001)"))],
    [
      "R2 has it, and its answer is lost",
      async (real) => {
        await real();
        throw new Error("put: (10001)");
      },
    ],
  ])("%s: nothing is lost, and the alarm ends it", async ([, act], { expect }) => {
    const job = await played();
    silent();
    const put = onPut(job, act);
    await job.end();
    await eventually(() => expect(put).toHaveBeenCalled());
    await eventually(async () => expect((await jobRow(job)).endedAt).not.toBeNull());
    expect((await jobRow(job)).bodyBytes).toBeNull();
    const before = await shown(job);
    for (const [status] of before) expect(status).toBe(200);
    put.mockRestore();
    await evictDurableObject(coordinatorOf(job));
    await retriedAt(farAhead(), job);
    expect((await shown(job)).map(resultsIn)).toEqual(before.map(resultsIn));
    const cost = await costOf(() => detail(job));
    expect(cost).toMatchObject({ d1_round_trips: 1, object_hops: 0, r2_calls: 1 });
  });

  test("R2 hangs: the write is given up and repeated; two days later, too", async ({ expect }) => {
    const job = await played();
    silent();
    const timeouts = holdTimeouts();
    const put = onPut(job, () => {
      timeouts.end();
      return new Promise<never>(() => {});
    });
    await job.end();
    await eventually(() => expect(put).toHaveBeenCalledTimes(1));
    const start = Date.now();
    const time = travel();
    for (const days of [1, 3]) {
      time.to(farAhead() + days * DAY_MS);
      await runDurableObjectAlarm(coordinatorOf(job));
    }
    expect(put.mock.calls.length).toBeGreaterThanOrEqual(2);
    put.mockRestore();
    time.to(start);
    await retriedAt(farAhead() + 4 * DAY_MS, job);
    expect(resultsIn((await detail(job)).body)).toHaveLength(8);
  });

  test("cron has removed the job before R2 took its results: none stay there", async ({
    expect,
  }) => {
    const job = await played();
    silent();
    const put = onPut(job, () => Promise.reject(new Error("put: (10001)")));
    await job.end();
    await eventually(() => expect(put).toHaveBeenCalled());
    await eventually(async () => expect((await jobRow(job)).endedAt).not.toBeNull());
    await removeJob(job);
    put.mockRestore();
    const key = `results/${job.id}`;
    const written = vi.spyOn(env.BUCKET, "put");
    const removed = vi.spyOn(env.BUCKET, "delete");
    const time = travel();
    time.to(farAhead());
    await runDurableObjectAlarm(coordinatorOf(job));
    await eventually(() => expect(removed).toHaveBeenCalledWith([key]));
    expect(written.mock.calls.map(([name]) => name)).toContain(key);
    await eventually(async () => expect(await env.BUCKET.head(key)).toBeNull());
  });

  test("R2 does not answer a reader, or has lost it: 503 with Retry-After", async ({ expect }) => {
    const job = await completed();
    silent();
    const reads = readsOf(job, 3);
    const refused = await detail(job);
    expectError(expect, refused, 503, "SERVICE_UNAVAILABLE");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(reads.asked, "a read is tried three times").toHaveLength(3);
    reads.end();
    readsOf(job, 1);
    const cost = await costOf(() => detail(job));
    expect(cost, "one failure costs a second read").toMatchObject({ status: 200, r2_calls: 2 });
    await env.BUCKET.delete(`results/${job.id}`);
    expectError(expect, await detail(job), 503, "SERVICE_UNAVAILABLE");
  });
});

test("a client that stops reading: at most 4 MiB are read for it, of R2 or of the object", {
  timeout: patient(60_000),
}, async ({ expect }) => {
  const job = await createJob({ node_count: 9 });
  const figures = { aggregate_results: { bf16_tflops: 1, memory_bandwidth_gbs: 2 } };
  const body = resultBody({ ...figures, note: "x".repeat(1_000_000) });
  const taskIds: string[] = [];
  for (let node = 0; node < 9; node++) taskIds.push(String((await join(job)).body.id));
  for (const id of taskIds.slice(1)) await putResult(job, id, 0, body);
  /** Bytes that sources have given. */
  let taken = 0;
  const read = CoordinatorStorage.prototype.body;
  const spy = vi.spyOn(CoordinatorStorage.prototype, "body").mockImplementation(function (
    this: CoordinatorStorage,
    ...wanted
  ) {
    const bytes = read.apply(this, wanted);
    taken += bytes?.length ?? 0;
    return bytes;
  });
  onTestFinished(() => void spy.mockRestore());
  const app = await createApp(appDeps());
  const headers = { authorization: `Bearer ${job.owner.token}` };
  const stopEarly = async () => {
    taken = 0;
    const reply = await app.request(`${API}/jobs/${job.id}`, { headers });
    const reader = reply.body?.getReader();
    for (let chunk = 0; chunk < 3; chunk++) expect((await reader?.read())?.done).toBe(false);
    await scheduler.wait(100);
    const soon = taken;
    await scheduler.wait(400);
    await reader?.cancel();
    expect(taken, "nothing is read later").toBe(soon);
    return soon;
  };
  const live = await stopEarly();
  expect(live, "some of it is read").toBeGreaterThan(0);
  expect(live).toBeLessThanOrEqual(4 * MIB);
  await putResult(job, taskIds[0] ?? "", 0, body);
  await reported(job);
  const get = env.BUCKET.get.bind(env.BUCKET) as (...args: unknown[]) => Promise<R2ObjectBody>;
  const getSpy = vi.spyOn(env.BUCKET, "get").mockImplementation((async (...args: unknown[]) => {
    const object = await get(...args);
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        taken += chunk.length;
        controller.enqueue(chunk);
      },
    });
    return { body: object.body.pipeThrough(counted) };
  }) as never);
  onTestFinished(() => void getSpy.mockRestore());
  const settled = await stopEarly();
  expect(settled, "some of it is read").toBeGreaterThan(0);
  expect(settled).toBeLessThanOrEqual(4 * MIB);
});

describe("costs", () => {
  test("one D1 round trip and one range of R2, of no more than is shown", async ({ expect }) => {
    const job = await completed();
    const { token } = job.owner;
    await detail(job);
    const { asked } = readsOf(job);
    const once = { status: 200, d1_round_trips: 1, object_hops: 0, r2_calls: 1 };
    expect(await costOf(() => detail(job))).toMatchObject(once);
    expect(await costOf(() => call("GET", `/jobs/${job.id}/results`, { token }))).toMatchObject(
      once,
    );
    const task = () => call("GET", `/tasks/${job.taskIds[1]}/results`, { token });
    expect(await costOf(task)).toMatchObject(once);
    const ranges = asked.map((options) => (options as R2GetOptions | undefined)?.range);
    const sizes = (await storedTexts(job)).map(({ text }) => new TextEncoder().encode(text).length);
    const sum = (from: number, to: number) => sizes.slice(from, to).reduce((a, b) => a + b, 0);
    const cluster = [1, 5, 2, 6].reduce((bytes, at) => bytes + (sizes[at] ?? 0), 0);
    expect(ranges).toEqual([
      { offset: 0, length: sum(0, 7) },
      { offset: sum(0, 8), length: cluster },
      { offset: sum(0, 4), length: sum(4, 8) },
    ]);
  });

  test("304 and HEAD read nothing from R2, and let go of a live job's stream", async ({
    expect,
  }) => {
    const job = await played();
    const { token } = job.owner;
    const paths = [
      `/jobs/${job.id}`,
      `/jobs/${job.id}/results`,
      `/tasks/${job.taskIds[0]}/results`,
    ];
    for (const isLive of [true, false]) {
      if (!isLive) {
        await job.end();
        await reported(job);
      }
      const { asked, end } = readsOf(job);
      for (const path of paths) {
        const first = await call("GET", path, { token });
        const etag = String(first.headers.get("etag"));
        expect(etag).toMatch(/^"\d+\.\d+\.[\w-]{22}"$/);
        asked.length = 0;
        const again = await call("GET", path, { token, headers: { "if-none-match": etag } });
        expect([again.status, again.text]).toEqual([304, ""]);
        const head = await call("HEAD", path, { token });
        expect([head.status, head.text, head.headers.get("etag")]).toEqual([200, "", etag]);
        expect(asked).toEqual([]);
      }
      end();
    }
  });

  test("a page of tasks: one read of R2 for each job, one hop for each live one; without results none", async ({
    expect,
  }) => {
    const owner = await createPerson();
    for (let job = 0; job < 2; job++) await completed(owner);
    const live = await played(owner);
    await flushed(live);
    const list = (query: string) => call("GET", `/tasks${query}`, { token: owner.token });
    await list("");
    const cost = await costOf(() => list("?include_results=true"));
    expect(cost).toMatchObject({ status: 200, d1_round_trips: 1, object_hops: 1, r2_calls: 2 });
    const reply = await list("?include_results=true");
    expect(resultsIn(reply.body)).toHaveLength(2 * 6 + 6);
    expect(await costOf(() => list(""))).toMatchObject({ object_hops: 0, r2_calls: 0 });
  });
});
