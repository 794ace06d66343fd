/** Results of long settled jobs are in R2, and nobody notices. */
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { createResultArchive } from "../../src/jobs/result-archive.ts";
import { DAY_MS, SECOND_MS } from "../../src/lib/clock.ts";
import { readConfig } from "../../src/lib/config.ts";
import { runTick } from "../../src/maintenance/tick.ts";
import {
  appDeps,
  call,
  costOf,
  createJob,
  createPerson,
  detail,
  expectError,
  flushed,
  join,
  type Person,
  putResult,
  rated,
  resultBody,
  type TestJob,
} from "./harness.ts";

function tick(at = Date.now() + 31 * DAY_MS) {
  const { d1, bucket, coordinators } = appDeps();
  const config = readConfig(env);
  return runTick({ d1, bucket, coordinators, config, clock: { now: () => at } });
}

const LINK = { source_rank: 0, target_rank: 1, bandwidth_gbps: 10, latency_ms: 0.1 };

/** A completed job of two nodes with both kinds of steps, whose results need more than one byte a sign. */
async function completed(padding = 10, owner?: Person): Promise<TestJob & { taskIds: string[] }> {
  // Of a model of its own: no fleet grows here that would have others rated again.
  const gpu_model = `GPU ${crypto.randomUUID()}`;
  const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] }, owner);
  const taskIds: string[] = [];
  for (let node = 0; node < 2; node++)
    taskIds.push(String((await join(job, { gpu_model })).body.id));
  const figures = (id: string) => ({
    aggregate_results: { bf16_tflops: 1, memory_bandwidth_gbs: 2 },
    note: `${id} Größe 測試 😀 ${"x".repeat(padding)}`,
  });
  for (const id of taskIds) await putResult(job, id, 0, resultBody(figures(id)));
  await putResult(job, taskIds[0] ?? "", 1, resultBody({ measurements: [LINK] }));
  const back = { ...LINK, source_rank: 1, target_rank: 0 };
  await putResult(job, taskIds[1] ?? "", 1, resultBody({ measurements: [back] }));
  await flushed(job);
  await rated(job);
  return { ...job, taskIds };
}

/** Everything that shows results, as its owner reads it. */
async function shown(job: TestJob & { taskIds: string[] }) {
  const { token } = job.owner;
  const replies = [
    await detail(job),
    await call("GET", `/jobs/${job.id}/results?include_display_names=true`, { token }),
    await call("GET", `/tasks?job_id=${job.id}&include_results=true`, { token }),
    await call("GET", `/tasks/${job.taskIds[0]}/results`, { token }),
    await call("GET", `/tasks/${job.taskIds[1]}/results`, { token }),
  ];
  return replies.map(({ status, text, headers }) => [status, text, headers.get("etag")]);
}

const rowsOf = async (job: TestJob) =>
  (
    await env.DB.prepare(
      "SELECT results, archive_offset, archive_bytes FROM task_results WHERE task_id BETWEEN ?1 AND ?1 + 511 ORDER BY task_id, position",
    )
      .bind(Number(job.id))
      .all<{ results: string; archive_offset: number | null; archive_bytes: number | null }>()
  ).results;

const archivedAt = async (job: TestJob) =>
  (
    await env.DB.prepare("SELECT archived_at FROM jobs WHERE id = ?")
      .bind(Number(job.id))
      .first<{ archived_at: number | null }>()
  )?.archived_at;

const endedAt = async (job: TestJob) =>
  (
    await env.DB.prepare("SELECT ended_at FROM jobs WHERE id = ?")
      .bind(Number(job.id))
      .first<{ ended_at: number }>()
  )?.ended_at ?? 0;

function silent() {
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => void vi.restoreAllMocks());
}

describe("a job that ended 30 days ago", () => {
  test("reads the same from R2 as it did from D1, to the byte and its validator", async ({
    expect,
  }) => {
    const job = await completed();
    const before = await shown(job);
    for (const [status] of before) expect(status).toBe(200);
    expect(JSON.stringify(before)).toContain("Größe 測試 😀");
    const ended = await endedAt(job);
    await tick(ended + 30 * DAY_MS - 1);
    expect(await archivedAt(job)).toBeNull();
    const done = await tick(ended + 30 * DAY_MS);
    expect(done.archiveResults).toMatchObject({ failed: 0 });
    expect(await archivedAt(job)).toBe(ended + 30 * DAY_MS);
    const rows = await rowsOf(job);
    expect(rows.map(({ results }) => results)).toEqual(["", "", "", ""]);
    const object = await env.BUCKET.head(`results/${job.id}`);
    expect(object?.size).toBe(rows.reduce((sum, row) => sum + (row.archive_bytes ?? 0), 0));
    expect(await shown(job)).toEqual(before);
  });

  test("is moved once; the next ticks leave it alone", async ({ expect }) => {
    const job = await completed();
    await tick();
    const put = vi.spyOn(env.BUCKET, "put");
    onTestFinished(() => void put.mockRestore());
    const rows = await rowsOf(job);
    await tick();
    expect(put).not.toHaveBeenCalled();
    expect(await rowsOf(job)).toEqual(rows);
  });

  test("without any result: nothing goes to R2, and it is not looked at again", async ({
    expect,
  }) => {
    const job = await createJob();
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    await tick();
    expect(await archivedAt(job)).not.toBeNull();
    expect(await env.BUCKET.head(`results/${job.id}`)).toBeNull();
  });

  test("16 MiB of results: read in parts, moved whole", { timeout: 120_000 }, async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 16 });
    const body = (node: number) =>
      resultBody({
        aggregate_results: { bf16_tflops: 1, memory_bandwidth_gbs: 2 },
        note: `${node} ${"x".repeat(1_000_000)}`,
      });
    const joins = await Promise.all(Array.from({ length: 16 }, () => join(job)));
    for (const [node, { body: task }] of joins.entries()) {
      expect((await putResult(job, task.id, 0, body(node))).status).toBe(200);
    }
    await flushed(job);
    const before = (await detail(job)).text;
    expect((await tick()).archiveResults).toMatchObject({ failed: 0 });
    expect((await env.BUCKET.head(`results/${job.id}`))?.size).toBeGreaterThan(16_000_000);
    expect((await detail(job)).text).toBe(before);
  });
});

test("a page of tasks shows each task its own results, wherever they are kept", async ({
  expect,
}) => {
  const [kept, moved] = [await completed(), await completed()];
  const notes = async (job: TestJob & { taskIds: string[] }) => {
    const { token } = job.owner;
    const path = `/tasks?job_id=${job.id}&include_results=true&sort_order=asc`;
    const { data } = (await call("GET", path, { token })).body;
    return data.map((task: { benchmark_results: Record<string, { results: { note: string } }> }) =>
      task.benchmark_results.quick_mark?.results.note.slice(0, 15),
    );
  };
  await env.DB.prepare("UPDATE jobs SET archived_at = 1 WHERE id = ?").bind(Number(kept.id)).run();
  await tick();
  expect(await notes(kept)).toEqual(kept.taskIds);
  expect(await notes(moved)).toEqual(moved.taskIds);
});

describe("what breaks on the way", () => {
  test.for([
    [
      "R2 refuses",
      () => vi.spyOn(env.BUCKET, "put").mockRejectedValueOnce(new Error("put: (10001)")),
    ],
    [
      "R2 has it, and its answer is lost",
      () => {
        const put = env.BUCKET.put.bind(env.BUCKET) as (...args: unknown[]) => Promise<unknown>;
        vi.spyOn(env.BUCKET, "put").mockImplementationOnce((async (...args: unknown[]) => {
          await put(...args);
          throw new Error("put: (10001)");
        }) as never);
      },
    ],
    [
      "D1 fails before it lets go",
      () => {
        breakBatch(async () => {});
      },
    ],
    [
      "D1 has let go, and its answer is lost",
      () => {
        breakBatch((real) => real());
      },
    ],
  ] as [string, () => unknown][])(
    "%s: nothing is lost, and the next tick ends it",
    async ([, fail], { expect }) => {
      const job = await completed();
      const before = await shown(job);
      silent();
      fail();
      const done = await tick();
      expect(done.archiveResults).toMatchObject({ failed: 1 });
      expect(await shown(job), "as it stands").toEqual(before);
      await tick();
      expect((await rowsOf(job)).every(({ results }) => results === "")).toBe(true);
      expect(await shown(job)).toEqual(before);
    },
  );

  /** The batch that lets go of results. */
  function breakBatch(before: (real: () => Promise<unknown>) => Promise<unknown>): void {
    const real = env.DB.batch.bind(env.DB);
    const prepare = env.DB.prepare.bind(env.DB);
    const marking = new WeakSet<object>();
    vi.spyOn(env.DB, "prepare").mockImplementation((query) => {
      const statement = prepare(query);
      if (!query.startsWith('update "task_results"')) return statement;
      const bind = statement.bind.bind(statement);
      statement.bind = (...values: unknown[]) => {
        const bound = bind(...values);
        marking.add(bound);
        return bound;
      };
      return statement;
    });
    let broken = false;
    vi.spyOn(env.DB, "batch").mockImplementation(async (statements) => {
      const isIt = !broken && statements.some((statement) => marking.has(statement));
      if (!isIt) return real(statements) as never;
      broken = true;
      await before(() => real(statements));
      throw new Error("D1_ERROR: Network connection lost.");
    });
  }

  test("one job that fails holds up no other", async ({ expect }) => {
    const [one, two] = [await completed(), await completed()];
    silent();
    const put = env.BUCKET.put.bind(env.BUCKET) as (...args: unknown[]) => Promise<unknown>;
    vi.spyOn(env.BUCKET, "put").mockImplementation((async (key: string, ...rest: unknown[]) => {
      if (key === `results/${one.id}`) throw new Error("put: (10001)");
      return put(key, ...rest);
    }) as never);
    await tick();
    expect([await archivedAt(one), await archivedAt(two)]).toEqual([null, expect.any(Number)]);
  });

  test("R2 does not answer a reader, or has lost it: 503 with Retry-After", async ({ expect }) => {
    const job = await completed();
    await tick();
    silent();
    vi.spyOn(env.BUCKET, "get").mockRejectedValueOnce(new Error("get: (10001)"));
    const refused = await detail(job);
    expectError(expect, refused, 503, "SERVICE_UNAVAILABLE");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await detail(job)).status).toBe(200);
    await env.BUCKET.delete(`results/${job.id}`);
    expectError(expect, await detail(job), 503, "SERVICE_UNAVAILABLE");
  });
});

describe("R2 hangs", () => {
  const NEVER = new Promise<never>(() => {});

  /** What has hung for so long, ms, is given up at once. */
  function hurry(timeoutMs: number): void {
    silent();
    const wait = globalThis.setTimeout;
    vi.spyOn(globalThis, "setTimeout").mockImplementation(((done: () => void, ms: number) =>
      wait(done, ms === timeoutMs ? 20 : ms)) as typeof setTimeout);
  }

  test("for a reader: 503 with Retry-After, also when only the bytes do not come", async ({
    expect,
  }) => {
    const job = await completed();
    await tick();
    hurry(10 * SECOND_MS);
    const get = vi.spyOn(env.BUCKET, "get").mockReturnValueOnce(NEVER as never);
    expectError(expect, await detail(job), 503, "SERVICE_UNAVAILABLE");
    get.mockResolvedValueOnce({ arrayBuffer: () => NEVER } as never);
    expectError(expect, await detail(job), 503, "SERVICE_UNAVAILABLE");
    expect((await detail(job)).status).toBe(200);
  });

  test("for cron: the tick ends, and the next one moves the results", async ({ expect }) => {
    const job = await completed();
    hurry(30 * SECOND_MS);
    vi.spyOn(env.BUCKET, "put").mockReturnValueOnce(NEVER as never);
    expect((await tick()).archiveResults).toMatchObject({ failed: 1 });
    expect(await archivedAt(job)).toBeNull();
    await tick();
    expect(await archivedAt(job)).not.toBeNull();
  });
});

describe("costs", () => {
  test("a job, or one of its tasks: one D1 round trip and one read of R2, of no more than is shown", async ({
    expect,
  }) => {
    const job = await completed();
    await tick();
    const get = vi.spyOn(env.BUCKET, "get");
    onTestFinished(() => void get.mockRestore());
    const rows = await rowsOf(job);
    const total = rows.reduce((sum, row) => sum + (row.archive_bytes ?? 0), 0);
    expect(await costOf(() => detail(job))).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    expect(get.mock.calls).toEqual([
      [`results/${job.id}`, { range: { offset: 0, length: total } }],
    ]);
    get.mockClear();
    const { token } = job.owner;
    const task = () => call("GET", `/tasks/${job.taskIds[1]}/results`, { token });
    expect(await costOf(task)).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    const [, , third, fourth] = rows;
    const length = (third?.archive_bytes ?? 0) + (fourth?.archive_bytes ?? 0);
    expect(get.mock.calls).toEqual([
      [`results/${job.id}`, { range: { offset: third?.archive_offset, length } }],
    ]);
  });

  test("a page of tasks: one read of R2 for each job; the list without results: none", async ({
    expect,
  }) => {
    const owner = await createPerson();
    for (let job = 0; job < 2; job++) await completed(10, owner);
    await tick();
    const get = vi.spyOn(env.BUCKET, "get");
    onTestFinished(() => void get.mockRestore());
    const list = (query: string) => call("GET", `/tasks${query}`, { token: owner.token });
    const reply = await list("?include_results=true");
    expect(reply.body.data).toHaveLength(4);
    expect(JSON.stringify(reply.body)).toContain("Größe");
    expect(get).toHaveBeenCalledTimes(2);
    await list("");
    expect(get).toHaveBeenCalledTimes(2);
  });
});

test("results that lie far apart are read separately, and neighbours together", async ({
  expect,
}) => {
  const get = vi.spyOn(env.BUCKET, "get");
  onTestFinished(() => void get.mockRestore());
  const text = `${"a".repeat(10)}${"-".repeat(70_000)}${"b".repeat(10)}${"-".repeat(10)}${"c".repeat(10)}`;
  await env.BUCKET.put("results/512", text);
  const at = (taskId: number, archiveOffset: number) => ({
    ...{ taskId, position: 0, results: "", archiveOffset, archiveBytes: 10 },
  });
  const here = {
    taskId: 514,
    position: 1,
    results: "here",
    archiveOffset: null,
    archiveBytes: null,
  };
  const rows = [at(513, 0), here, at(514, 70_010), at(515, 70_030)];
  const restored = await createResultArchive(env.BUCKET).restore(rows);
  expect(restored.map(({ results }) => results)).toEqual([
    "a".repeat(10),
    "here",
    "b".repeat(10),
    "c".repeat(10),
  ]);
  expect(get.mock.calls.map(([, options]) => options)).toEqual([
    { range: { offset: 0, length: 10 } },
    { range: { offset: 70_010, length: 30 } },
  ]);
});
