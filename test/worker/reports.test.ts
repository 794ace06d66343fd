/** From a job's end to a file that a link opens: made once, served in parts, checked by anyone. */

import { runDurableObjectAlarm } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { createHash } from "node:crypto";
import { describe, onTestFinished, test, vi } from "vitest";
import slowA100 from "../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import twoA100 from "../../agent/replays/a100-sxm4-80gb-x2.json";
import { createApp } from "../../src/app.ts";
import { createMeter, openDatabase } from "../../src/db/client.ts";
import { makeReportRoute } from "../../src/jobs/contract.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { readConfig } from "../../src/lib/config.ts";
import { runTick } from "../../src/maintenance/tick.ts";
import { generateReportRoute } from "../../src/nodes/contract.ts";
import { getReportRoute } from "../../src/reports/contract.ts";
import { makeReports } from "../../src/reports/make.ts";
import { findUnreported } from "../../src/reports/store.ts";
import { removeReports, sweepReports } from "../../src/reports/sweep.ts";
import { readPdf } from "../reports/read-pdf.ts";
import {
  appDeps,
  call,
  coordinatorOf,
  costOf,
  createJob,
  createPerson,
  detail,
  expectContract,
  expectError,
  join,
  measureJob,
  putResult,
  QUICK_MARK_RESULTS,
  reported,
  resultBody,
  type TestJob,
} from "./harness.ts";

const DAY = 86_400_000;
const clock = vi.spyOn(systemClock, "now");

async function open(url: string, headers: Record<string, string> = {}, method = "GET") {
  const response = await exports.default.fetch(new Request(url, { method, headers }));
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, bytes };
}

function make(job: TestJob, bucket = env.BUCKET) {
  const db = openDatabase(env.DB, createMeter());
  const { rating: thresholds } = readConfig(env);
  const now = systemClock.now();
  return makeReports({ db, bucket, thresholds, now }, Number(job.id));
}

async function keysOf(job: TestJob): Promise<string[]> {
  const { objects } = await env.BUCKET.list({ prefix: `reports/${job.id}/` });
  return objects.map(({ key }) => key);
}

function rowsOf(job: TestJob) {
  return env.DB.prepare("SELECT * FROM reports WHERE job_id = ? ORDER BY rank, version")
    .bind(Number(job.id))
    .all<{ hash: string; rank: number | null; version: number; status: string }>();
}

describe("a settled job", () => {
  test("has a report of its own and one for each node, with links in detail and tasks", async ({
    expect,
  }) => {
    const job = await measureJob([slowA100, twoA100]);
    const { body } = await reported(job);
    const file = await open(body.pdf_report_url);
    expect(file.status).toBe(200);
    expect(file.headers.get("content-type")).toBe("application/pdf");
    expect(file.headers.get("cache-control")).toBe("private, no-cache");
    const { text } = await readPdf(file.bytes);
    expect(text).toContain("Underperforming");
    expect(text.split("\n")).toContain("58.3%");
    expect(text).toContain("1,192");
    expect(text).toContain("Bandwidth between GPUs");
    for (const task of body.tasks) {
      const own = await readPdf((await open(task.pdf_report_url)).bytes);
      expect(own.pages[0]).toContain(`node ${task.rank}`);
      expect(own.pages[0]).toContain(task.machine_uuid.slice(0, 18));
    }
    const { token } = job.owner;
    const listed = await call("GET", `/tasks?job_id=${job.id}`, { token });
    const results = await call("GET", `/tasks/${body.tasks[1].id}/results`, { token });
    const urls = body.tasks.map((task: { pdf_report_url: string }) => task.pdf_report_url);
    const inList = listed.body.data.map((task: { pdf_report_url: string }) => task.pdf_report_url);
    expect(inList.toSorted()).toEqual(urls.toSorted());
    expect(results.body.pdf_report_url).toBe(urls[1]);
    expect(await keysOf(job)).toHaveLength(3);
  });

  test("that failed, or that nobody joined, gets one that says what is missing", async ({
    expect,
  }) => {
    const failed = await createJob();
    const { id } = (await join(failed)).body;
    const body = {
      ...{ state: "failed", started_at: "2026-01-01T00:00:00Z", ended_at: "2026-01-01T00:01:00Z" },
      error_message: "no driver",
    };
    await putResult(failed, id, 0, body);
    const url = (await reported(failed)).body.pdf_report_url;
    const [page = ""] = (await readPdf((await open(url)).bytes)).pages;
    expect(page).toContain("Not rated");
    expect(page).toContain("no driver");

    const aborted = await createJob();
    await call("POST", `/jobs/${aborted.id}/abort`, { token: aborted.owner.token });
    expect((await detail(aborted)).body.pdf_report_url).toBeNull();
    const db = openDatabase(env.DB, createMeter());
    const unreported = () => findUnreported(db, { endedAfter: 0, objectsBefore: 0 }, 1_000);
    expect(await unreported()).toContain(Number(aborted.id));
    expect(await make(aborted)).toBe(1);
    expect(await unreported()).not.toContain(Number(aborted.id));
    const own = await readPdf((await open((await detail(aborted)).body.pdf_report_url)).bytes);
    expect(own.pages[0]).toContain("No machine ever joined: nothing was measured.");
  });

  test("of nobody gets none, and neither does one that lives or is deleted", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    await reported(job);
    const live = await createJob();
    await join(live);
    expect(await make(live)).toBeNull();
    const id = Number(job.id);
    await env.DB.prepare("UPDATE jobs SET user_id = 0 WHERE id = ?").bind(id).run();
    expect(await make(job)).toBeNull();
    expectError(
      expect,
      await call("POST", `/jobs/${job.id}/generate-report`, { token: job.token }),
      ...([
        400,
        "JOB_STATE_INVALID",
        "A job that was made without an account gets no report",
      ] as const),
    );
  });

  test("names in every script reach the file's name", async ({ expect }) => {
    const job = await measureJob([twoA100], undefined, { name: "Прогон №1 (“ночь”)" });
    const { headers } = await open((await reported(job)).body.pdf_report_url);
    const disposition = headers.get("content-disposition") ?? "";
    expect(disposition).toMatch(
      /^inline; filename="assay-[\x20-\x7e]+\.pdf"; filename\*=UTF-8''[\w%.-]+$/,
    );
    const name = decodeURIComponent(disposition.split("UTF-8''")[1] ?? "");
    expect(name).toBe(`assay-Прогон №1 (“ночь”)-${job.id}.pdf`);
  });
});

test("cluster figures reach the job's report, and each node's own links its own", async ({
  expect,
}) => {
  const job = await createJob({ node_count: 2, benchmarks: ["quick_mark", "cluster_network"] });
  const ids = [(await join(job)).body.id, (await join(job)).body.id];
  for (const id of ids) await putResult(job, id, 0);
  for (const [rank, id] of ids.entries()) {
    const link = { source_rank: rank, target_rank: 1 - rank };
    const measured =
      rank === 0
        ? { ...link, bandwidth_gbps: 45.25, latency_ms: 0.125 }
        : { ...link, error: "refused" };
    const reply = await putResult(job, id, 1, resultBody({ measurements: [measured] }));
    expect(reply.status, reply.text).toBe(200);
  }
  const { body } = await reported(job);
  const whole = (await readPdf((await open(body.pdf_report_url)).bytes)).text.split("\n");
  for (const text of ["45.25 Gbit/s", "0.125 ms", "2 (1 failed), completed", "refused"]) {
    expect(whole, text).toContain(text);
  }
  const own = (await readPdf((await open(body.tasks[1].pdf_report_url)).bytes)).text.split("\n");
  for (const text of ["node 0", "failed", "refused", "45.25", "0.125"])
    expect(own, text).toContain(text);
});

test("cron makes what nobody else has, and a job that cannot be made holds up no other", async ({
  expect,
}) => {
  const jobs = [await createJob(), await createJob()];
  for (const job of jobs) await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  const [broken, good] = jobs as [TestJob, TestJob]; // two were made
  await env.DB.prepare("UPDATE jobs SET steps = 'no JSON' WHERE id = ?")
    .bind(Number(broken.id))
    .run();
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  const sweep = () =>
    sweepReports({
      db: openDatabase(env.DB, createMeter()),
      bucket: env.BUCKET,
      thresholds: readConfig(env).rating,
      clock: systemClock,
    });
  const first = await sweep();
  expect(first.made).toBeGreaterThanOrEqual(1);
  expect(first.failed).toBe(1);
  expect((await detail(good)).body.pdf_report_url).toEqual(expect.stringContaining(good.id));
  expect(await sweep()).toEqual({ made: 0, failed: 1 });
  await env.DB.prepare("UPDATE jobs SET ended_at = 1 WHERE id = ?").bind(Number(broken.id)).run();
  expect(await sweep(), "given up after a day").toEqual({ made: 0, failed: 0 });
});

test("cron leaves a job to its object, which rates it first, for five minutes", async ({
  expect,
}) => {
  const put = vi.spyOn(env.BUCKET, "put").mockRejectedValue(new Error("R2 is away"));
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => {
    put.mockRestore();
    warned.mockRestore();
  });
  const job = await measureJob([twoA100]);
  await vi.waitFor(() => expect(warned.mock.calls.flat().join()).toContain("R2 is away"), 10_000);
  put.mockRestore();
  const ended = Date.parse((await detail(job)).body.ended_at);
  const sweepAt = async (now: number) => {
    await sweepReports({
      ...{ db: openDatabase(env.DB, createMeter()), bucket: env.BUCKET },
      ...{ thresholds: readConfig(env).rating, clock: { now: () => now } },
    });
    return (await rowsOf(job)).results.length;
  };
  expect(await sweepAt(ended + 5 * 60_000 - 1)).toBe(0);
  expect(await sweepAt(ended + 5 * 60_000)).toBe(2);
});

test("those that cannot be made, however many, keep no other from its turn", async ({ expect }) => {
  const jobs = await Promise.all(Array.from({ length: 25 }, () => createJob()));
  for (const job of jobs) await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  const [good, ...broken] = jobs as [TestJob, ...TestJob[]]; // many were made
  // All others ended after it, and were tried before it if nobody took turns.
  await env.DB.prepare(
    "UPDATE jobs SET steps = 'no JSON', ended_at = ended_at + 1000 WHERE id IN (SELECT value FROM json_each(?))",
  )
    .bind(JSON.stringify(broken.map(({ id }) => Number(id))))
    .run();
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  const start = Date.now();
  for (let minute = 0; minute < 3; minute++) {
    await sweepReports({
      db: openDatabase(env.DB, createMeter()),
      bucket: env.BUCKET,
      thresholds: readConfig(env).rating,
      clock: { now: () => start + minute * 60_000 },
    });
  }
  expect((await detail(good)).body.pdf_report_url).toEqual(expect.stringContaining(good.id));
});

test("cron removes the reports of deleted jobs, file by file, and what D1 has of them", async ({
  expect,
}) => {
  const job = await measureJob([{ gpu_model: null, gpu_count: null, results: QUICK_MARK_RESULTS }]);
  await reported(job);
  const id = Number(job.id);
  const left = async () => [
    (await env.BUCKET.list({ prefix: `reports/${id}/` })).objects.length,
    ...(
      await env.DB.prepare(
        `SELECT (SELECT count(*) FROM reports WHERE job_id = ?1) + (SELECT count(*) FROM jobs WHERE id = ?1 AND report_hash IS NOT NULL)
          + (SELECT count(*) FROM tasks WHERE job_id = ?1 AND report_hash IS NOT NULL) AS n`,
      )
        .bind(id)
        .all<{ n: number }>()
    ).results.map(({ n }) => n),
  ];
  expect(await left()).toEqual([2, 4]);
  const remove = (now: number, bucket = env.BUCKET) =>
    removeReports({
      db: openDatabase(env.DB, createMeter()),
      bucket,
      clock: { now: () => now },
      goOn: () => true,
    });
  const deleted = Date.now();
  await call("DELETE", "/jobs/delete", { token: job.owner.token, body: { id: job.id } });
  await remove(deleted + 3_500_000);
  expect(await left(), "whoever makes one now has an hour").toEqual([2, 4]);
  const broken = { ...env.BUCKET, list: () => Promise.reject(new Error("R2 is away")) };
  await expect(remove(deleted + 4_000_000, broken as unknown as R2Bucket)).rejects.toThrow("away");
  expect(await left()).toEqual([2, 4]);
  await remove(deleted + 4_000_000);
  expect(await left()).toEqual([0, 0]);
});

test("256 nodes of 8 GPUs: every node has its report, in a few batches; a kill costs one of them", {
  timeout: 120_000,
}, async ({ expect }) => {
  const job = await createJob({ node_count: 256 });
  const id = Number(job.id);
  await fillWithNodes(id, 256, 8);
  const meter = createMeter();
  const db = openDatabase(env.DB, meter);
  const deps = { db, bucket: env.BUCKET, thresholds: readConfig(env).rating, now: 1 };
  const realPut = env.BUCKET.put.bind(env.BUCKET);
  let puts = 0;
  const put = vi.spyOn(env.BUCKET, "put").mockImplementation((async (
    ...args: Parameters<R2Bucket["put"]>
  ) => {
    if (++puts === 100) throw new Error("killed");
    return realPut(...args);
  }) as typeof env.BUCKET.put);
  await expect(makeReports(deps, id)).rejects.toThrow("killed");
  // The job's own comes first: its link works already.
  expect((await open((await detail(job)).body.pdf_report_url)).status).toBe(200);
  meter.d1RoundTrips = 0;
  expect(await makeReports(deps, id)).toBe(257 - 96);
  put.mockRestore();
  // What a megabyte holds is read at once, 32 reports are noted at once.
  expect(meter.d1RoundTrips).toBe(1 + 4 + 6);
  expect((await rowsOf(job)).results).toHaveLength(257);
  expect(await keysOf(job)).toHaveLength(257);
  expect(await makeReports(deps, id)).toBe(0);
});

/** Makes a job one that has settled with so many nodes: through the API it would take minutes. */
async function fillWithNodes(jobId: number, nodes: number, gpus: number): Promise<void> {
  const step = { state: "completed", startedAt: 1, endedAt: 2, errorMessage: null };
  const figures = { bf16_tflops: 700, memory_bandwidth_gbs: 2_900, power_consumption_watts: 500 };
  const each = Array.from({ length: gpus }, (_, at) => ({ gpu_id: `GPU-${at}`, ...figures }));
  const results = JSON.stringify({ aggregate_results: figures, test_results: each });
  const ranks = `WITH RECURSIVE r (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < ${nodes - 1})`;
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO tasks (id, job_id, rank, version, machine_uuid, gpu_model, gpu_count, state, steps, progress, created_at, customer_id, user_id)
       ${ranks} SELECT ?1 + 1 + n, ?1, n, 1, printf('00000000-0000-4000-8000-%012x', n), 'NVIDIA H200', ?2, 'completed', ?3, 1, 1, j.customer_id, j.user_id
       FROM r, jobs j WHERE j.id = ?1`,
    ).bind(jobId, gpus, JSON.stringify([step])),
    env.DB.prepare(
      `INSERT INTO task_results (task_id, position, results) ${ranks} SELECT ?1 + 1 + n, 0, ?2 FROM r`,
    ).bind(jobId, results),
    env.DB.prepare(
      "UPDATE jobs SET state = 'completed', coordinated = 1, current_nodes = node_count, started_at = 1, ended_at = 2, steps = ?2 WHERE id = ?1",
    ).bind(jobId, JSON.stringify([{ ...step, summary: null }])),
  ]);
}

describe("making it again", () => {
  test("changes nothing while nothing has changed, by the owner and by an agent", async ({
    expect,
  }) => {
    const job = await measureJob([slowA100]);
    const before = await reported(job);
    const etag = (await open(before.body.pdf_report_url)).headers.get("etag");
    const rows = (await rowsOf(job)).results;
    const byOwner = await call("POST", `/jobs/${job.id}/report`, { token: job.owner.token });
    expectContract(expect, byOwner, makeReportRoute, 202);
    const byAgent = await call("POST", `/jobs/${job.id}/generate-report`, { token: job.token });
    expectContract(expect, byAgent, generateReportRoute, 202);
    expect(byOwner.body).toEqual({ pdf_report_url: before.body.pdf_report_url });
    expect(byAgent.body).toEqual(byOwner.body);
    expect((await open(byOwner.body.pdf_report_url)).headers.get("etag")).toBe(etag);
    expect((await rowsOf(job)).results).toEqual(rows);
    expect((await detail(job)).text).toBe(before.text);
    expect(await make(job), "nothing drawn").toBe(0);
  });

  test("draws what a new verdict has changed; the older hash says that it is not the latest", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100]);
    await reported(job);
    const [first] = (await rowsOf(job)).results;
    const id = Number(job.id);
    const changed =
      "UPDATE jobs SET verdict = json_set(verdict, '$.baselineVersion', 7) WHERE id = ?";
    await env.DB.prepare(changed).bind(id).run();
    await call("POST", `/jobs/${job.id}/report`, { token: job.owner.token });
    const old = await call("GET", `/reports/${first?.hash}`);
    expectContract(expect, old, getReportRoute, 200);
    expect(old.body).toMatchObject({ version: 1, is_latest: false });
    const newest = (await rowsOf(job)).results.findLast(({ rank }) => rank === null);
    const now = await call("GET", `/reports/${newest?.hash}`);
    expect(now.body).toMatchObject({ version: 2, is_latest: true, job_id: job.id, task_id: null });
    const { bytes } = await open((await detail(job)).body.pdf_report_url);
    expect(now.body.file_sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect(now.body.file_bytes).toBe(bytes.length);
    expect((await readPdf(bytes)).text).toContain("Baselines of version 7.");
    expect(await keysOf(job), "older files are gone").toHaveLength(2);
  });

  test("of two makers, one slower and of an older verdict: the newer one stays, and its file", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    const rate = (version: number) =>
      env.DB.prepare(
        "UPDATE jobs SET verdict = json_set(verdict, '$.baselineVersion', ?) WHERE id = ?",
      )
        .bind(version, Number(job.id))
        .run();
    await rate(3);
    const put = vi.spyOn(env.BUCKET, "put").mockImplementation((async (
      ...args: Parameters<R2Bucket["put"]>
    ) => {
      put.mockRestore();
      // The job is rated anew, and reported, while the slower one is about to put its first file.
      await rate(4);
      await make(job);
      return env.BUCKET.put(...args);
    }) as typeof env.BUCKET.put);
    await make(job);
    const newest = await open(url);
    expect(newest.status).toBe(200);
    expect((await readPdf(newest.bytes)).text).toContain("Baselines of version 4.");
    expect(await keysOf(job)).toHaveLength(2);
    const versions = (await rowsOf(job)).results.filter(({ rank }) => rank === null);
    expect(versions, "the older verdict's was never one").toHaveLength(2);
  });

  test("a maker that began before the job was rated anew takes no newer file for an old one", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    const later = Promise.withResolvers<void>();
    const hasPut = Promise.withResolvers<void>();
    let newer: Promise<unknown> = Promise.resolve();
    // Before the files are listed, another maker has put a newer one, and not noted it yet.
    const list = vi.spyOn(env.BUCKET, "list").mockImplementation((async (
      ...args: Parameters<R2Bucket["list"]>
    ) => {
      list.mockRestore();
      const put = vi.spyOn(env.BUCKET, "put").mockImplementation((async (
        ...file: Parameters<R2Bucket["put"]>
      ) => {
        put.mockRestore();
        const object = await env.BUCKET.put(...file);
        hasPut.resolve();
        await later.promise;
        return object;
      }) as typeof env.BUCKET.put);
      await env.DB.prepare(
        "UPDATE jobs SET verdict = json_set(verdict, '$.baselineVersion', 5) WHERE id = ?",
      )
        .bind(Number(job.id))
        .run();
      newer = make(job);
      await hasPut.promise;
      return env.BUCKET.list(...args);
    }) as typeof env.BUCKET.list);
    await make(job);
    later.resolve();
    await newer;
    const file = await open(url);
    expect(file.status).toBe(200);
    expect((await readPdf(file.bytes)).text).toContain("Baselines of version 5.");
  });

  test("while somebody opens it leads them to the newer file", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    const head = vi.spyOn(env.BUCKET, "head").mockImplementation(async (key) => {
      head.mockRestore();
      await env.DB.prepare(
        "UPDATE jobs SET verdict = json_set(verdict, '$.baselineVersion', 6) WHERE id = ?",
      )
        .bind(Number(job.id))
        .run();
      await make(job);
      return env.BUCKET.head(key);
    });
    const file = await open(url);
    expect(file.status).toBe(200);
    expect((await readPdf(file.bytes)).text).toContain("Baselines of version 6.");
  });

  test("puts a lost file back", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    const { bytes } = await open(url);
    await env.BUCKET.delete(await keysOf(job));
    expect((await open(url)).status).toBe(404);
    await call("POST", `/jobs/${job.id}/report`, { token: job.owner.token });
    expect((await open(url)).bytes).toEqual(bytes);
  });

  test("is refused while the job lives, and for who does not see it", async ({ expect }) => {
    const job = await createJob();
    const message = "The job has not ended yet; its report is made when it has";
    const report = (token: string) => call("POST", `/jobs/${job.id}/report`, { token });
    expectError(expect, await report(job.owner.token), 400, "JOB_STATE_INVALID", message);
    expectError(expect, await report((await createPerson()).token), 404, "RESOURCE_NOT_FOUND");
    const generate = (id: string) =>
      call("POST", `/jobs/${id}/generate-report`, { token: job.token });
    expectError(expect, await generate(job.id), 400, "JOB_STATE_INVALID", message);
    const other = await createJob();
    expectError(expect, await generate(other.id), 404, "RESOURCE_NOT_FOUND");
    await call("DELETE", "/jobs/delete", { token: job.owner.token, body: { id: job.id } });
    expectError(expect, await generate(job.id), 409, "JOB_ENDED");
    expectError(expect, await report(job.owner.token), 404, "RESOURCE_NOT_FOUND");
  });

  test("is limited per person", async ({ expect }) => {
    const counted: string[] = [];
    const report = {
      limit: async ({ key }: { key: string }) => ({ success: counted.push(key) < 2 }),
    };
    const counters = { ...appDeps().rateLimitCounters, report };
    const app = await createApp(appDeps({ rateLimitCounters: counters }));
    const job = await createJob();
    const headers = { authorization: `Bearer ${job.owner.token}` };
    const ask = () =>
      app.request(`https://assay.test/api/silicon-mark/v1/jobs/${job.id}/report`, {
        method: "POST",
        headers,
      });
    expect((await ask()).status).toBe(400);
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("ratelimit-policy")).toBe('"report";q=10;w=60');
    expect(counted).toEqual([job.owner.uuid, job.owner.uuid]);
  });
});

describe("a kill between R2 and D1", () => {
  test("leaves the older link working; the next try goes on from there", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    await env.DB.prepare(
      "UPDATE jobs SET verdict = json_set(verdict, '$.baselineVersion', 9) WHERE id = ?",
    )
      .bind(Number(job.id))
      .run();
    // Dies when files are in R2, before D1 hears of any.
    const put = vi.spyOn(env.BUCKET, "put").mockImplementation((async (
      ...args: Parameters<R2Bucket["put"]>
    ) => {
      put.mockRestore();
      await env.BUCKET.put(...args);
      throw new Error("killed");
    }) as typeof env.BUCKET.put);
    await expect(make(job)).rejects.toThrow("killed");
    const between = await open(url);
    expect(between.status).toBe(200);
    expect((await readPdf(between.bytes)).text).toContain("Baselines of version 0.");
    expect((await keysOf(job)).length).toBeGreaterThan(2);
    expect(await make(job)).toBe(2);
    expect((await readPdf((await open(url)).bytes)).text).toContain("Baselines of version 9.");
    expect(await keysOf(job)).toHaveLength(2);
  });

  test("of a first report: settling is not held up, and the alarm makes it", async ({ expect }) => {
    const put = vi.spyOn(env.BUCKET, "put").mockRejectedValue(new Error("R2 is away"));
    onTestFinished(() => put.mockRestore());
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => warned.mockRestore());
    const job = await measureJob([twoA100]);
    await vi.waitFor(() => expect(warned.mock.calls.flat().join()).toContain("R2 is away"), 10_000);
    const before = (await detail(job)).body;
    expect(before).toMatchObject({ state: "completed", pdf_report_url: null });
    expect(before.tasks[0].pdf_report_url).toBeNull();
    put.mockRestore();
    clock.mockReturnValue(Date.now() + 120_000);
    onTestFinished(() => void clock.mockReset());
    await runDurableObjectAlarm(coordinatorOf(job));
    clock.mockReset();
    const { body } = await reported(job);
    expect((await open(body.pdf_report_url)).status).toBe(200);
  });
});

describe("a link", () => {
  test("is the same all day, and works for seven days at least and eight at most", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100]);
    await reported(job);
    onTestFinished(() => void clock.mockReset());
    const midnight = Math.ceil(Date.now() / DAY) * DAY;
    const urlAt = async (at: number) => {
      clock.mockReturnValue(at);
      const reply = await call("GET", `/jobs/${job.id}`, { token: job.owner.token });
      return { url: reply.body?.pdf_report_url, etag: reply.headers.get("etag") };
    };
    // People's tokens last an hour: both moments are near now.
    const late = await urlAt(Math.min(Date.now(), midnight - 2));
    expect(await urlAt(Math.min(Date.now() + 1_000, midnight - 1))).toEqual(late);
    const expires = Number(new URL(late.url).searchParams.get("expires")) * 1_000;
    expect(expires).toBe(midnight + 7 * DAY);
    clock.mockReturnValue(expires - 1);
    expect((await open(late.url)).status).toBe(200);
    clock.mockReturnValue(expires);
    expect((await open(late.url)).status).toBe(404);
  });

  test("opens nothing but what it is for, and nothing when it is altered", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    const { body } = await reported(job);
    const altered = (change: (url: URL) => void) => {
      const url = new URL(body.pdf_report_url);
      change(url);
      return call("GET", url.href);
    };
    const wrong = [
      await altered((url) => (url.pathname = url.pathname.replace(job.id, body.tasks[0].id))),
      await altered((url) => url.searchParams.set("expires", "99999999999")),
      await altered((url) => url.searchParams.set("signature", "A".repeat(43))),
      await altered((url) => url.searchParams.set("key", "AAAAAAAA")),
      // The last letter's lowest bits are in none of the signature's bytes.
      await altered((url) => {
        const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const signature = url.searchParams.get("signature") ?? "";
        const last = letters[letters.indexOf(signature.slice(-1)) + 1];
        url.searchParams.set("signature", `${signature.slice(0, -1)}${last}`);
      }),
    ];
    for (const reply of wrong) expectError(expect, reply, 404, "RESOURCE_NOT_FOUND");
    const without = await altered((url) => url.searchParams.delete("signature"));
    expectError(expect, without, 400, "PARAMETER_INCORRECT_VALUE");
    expect(without.body.error.details[0].field).toBe("signature");
  });

  test("is dead when its job is deleted, and so is its hash", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    const { body } = await reported(job);
    const [row] = (await rowsOf(job)).results;
    expect((await call("GET", `/reports/${row?.hash}`)).status).toBe(200);
    await call("DELETE", "/jobs/delete", { token: job.owner.token, body: { id: job.id } });
    expect((await open(body.pdf_report_url)).status).toBe(404);
    expect((await open(body.tasks[0].pdf_report_url)).status).toBe(404);
    expectError(expect, await call("GET", `/reports/${row?.hash}`), 404, "RESOURCE_NOT_FOUND");
    expect(await make(job)).toBeNull();
  });

  test("signed by a secret that is no longer first still works; by one that is gone it does not", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100]);
    const { pathname, search } = new URL((await reported(job)).body.pdf_report_url);
    const { config } = appDeps();
    const statusWith = async (tokenSecrets: string[]) => {
      const app = await createApp(appDeps({ config: { ...config, tokenSecrets } }));
      return (await app.request(`https://assay.test${pathname}${search}`)).status;
    };
    const next = "another-secret-of-at-least-thirty-two-characters";
    expect(await statusWith([next, ...config.tokenSecrets])).toBe(200);
    expect(await statusWith([next])).toBe(404);
  });
});

describe("serving", async () => {
  const job = await measureJob([twoA100]);
  const url: string = (await reported(job)).body.pdf_report_url;
  const whole = await open(url);

  test("HEAD, If-None-Match", async ({ expect }) => {
    const head = await open(url, {}, "HEAD");
    expect(head.status).toBe(200);
    expect(head.bytes).toHaveLength(0);
    for (const name of ["content-length", "content-type", "etag", "accept-ranges"]) {
      expect(head.headers.get(name), name).toBe(whole.headers.get(name));
    }
    expect(head.headers.get("content-length")).toBe(String(whole.bytes.length));
    const etag = whole.headers.get("etag") ?? "";
    const same = await open(url, { "if-none-match": `W/${etag}` });
    expect([same.status, same.bytes.length]).toEqual([304, 0]);
    expect((await open(url, { "if-none-match": '"other"' })).status).toBe(200);
  });

  test("ranges of bytes", async ({ expect }) => {
    const size = whole.bytes.length;
    const part = async (range: string, headers = {}) => {
      const { status, headers: got, bytes } = await open(url, { range, ...headers });
      return [status, got.get("content-range"), bytes.length];
    };
    expect(await part("bytes=0-9")).toEqual([206, `bytes 0-9/${size}`, 10]);
    expect((await open(url, { range: "bytes=5-9" })).bytes).toEqual(whole.bytes.slice(5, 10));
    expect(await part(`bytes=${size - 1}-`)).toEqual([
      206,
      `bytes ${size - 1}-${size - 1}/${size}`,
      1,
    ]);
    expect(await part("bytes=-20")).toEqual([206, `bytes ${size - 20}-${size - 1}/${size}`, 20]);
    expect(await part(`bytes=0-${size * 2}`)).toEqual([206, `bytes 0-${size - 1}/${size}`, size]);
    expect(await part(`bytes=-${size * 2}`)).toEqual([206, `bytes 0-${size - 1}/${size}`, size]);
    const none = await call("GET", url, { headers: { range: `bytes=${size}-` } });
    expectError(expect, none, 416, "RANGE_NOT_SATISFIABLE");
    expect(none.headers.get("content-range")).toBe(`bytes */${size}`);
    expect(await part("Bytes=0-9"), "the unit has no case").toEqual([
      ...[206, `bytes 0-9/${size}`, 10],
    ]);
    for (const range of ["bytes=0-9", `bytes=${size}-`]) {
      const { status, headers } = await open(url, { range }, "HEAD");
      const got = ["content-range", "content-length"].map((name) => headers.get(name));
      expect([status, ...got], "HEAD knows no ranges").toEqual([200, null, String(size)]);
    }
    for (const odd of ["bytes=0-1,4-5", "bytes=9-5", "bytes=-", "lines=0-1", "bytes=a-b"]) {
      expect(await part(odd), odd).toEqual([200, null, size]);
    }
    const etag = whole.headers.get("etag") ?? "";
    expect(await part("bytes=0-9", { "if-range": etag })).toEqual([206, `bytes 0-9/${size}`, 10]);
    expect(await part("bytes=0-9", { "if-range": '"older"' })).toEqual([200, null, size]);
  });

  test("what it costs: one D1 round trip, no hop", async ({ expect }) => {
    const one = { status: 200, d1_round_trips: 1, object_hops: 0 };
    expect(await costOf(() => call("GET", url))).toMatchObject(one);
    const [row] = (await rowsOf(job)).results;
    expect(await costOf(() => call("GET", `/reports/${row?.hash}`))).toMatchObject(one);
    const bad = url.replace(/signature=../, "signature=zz");
    expect(await costOf(() => call("GET", bad)), "refused before D1").toMatchObject({
      ...{ status: 404, d1_round_trips: 0 },
    });
  });

  test("what making costs: three round trips when all is there, one more when something is new", async ({
    expect,
  }) => {
    const { token } = job.owner;
    const report = () => call("POST", `/jobs/${job.id}/report`, { token });
    expect(await costOf(report)).toMatchObject({ status: 202, d1_round_trips: 3, object_hops: 0 });
    await env.BUCKET.delete(await keysOf(job));
    expect(await costOf(report)).toMatchObject({ status: 202, d1_round_trips: 4, object_hops: 0 });
  });

  test("a hash that never was is unknown, one that is none is refused", async ({ expect }) => {
    expectError(expect, await call("GET", `/reports/${"0".repeat(64)}`), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await call("GET", "/reports/xyz"), 400, "PARAMETER_INCORRECT_VALUE");
  });
});

test("results that have moved to R2 make the same report", async ({ expect }) => {
  const job = await measureJob([twoA100]);
  const url = (await reported(job)).body.pdf_report_url;
  // Cron rates it again, too: of that, only the baselines' version and the hash may show.
  const figures = async () =>
    (await readPdf((await open(url)).bytes)).text
      .replaceAll(/Baselines of version \d+/g, "")
      .replaceAll(/[0-9a-f]{32}[0-9a-f…]*/g, "");
  const before = await figures();
  expect(before).toContain("530.1");
  const { d1, bucket, coordinators, config } = appDeps();
  const later = Date.now() + 31 * DAY;
  await runTick({ d1, bucket, coordinators, config, clock: { now: () => later } });
  const row = await env.DB.prepare("SELECT archived_at FROM jobs WHERE id = ?")
    .bind(Number(job.id))
    .first<{ archived_at: number | null }>();
  expect(row?.archived_at).not.toBeNull();
  await env.BUCKET.delete(await keysOf(job));
  await expect(make(job), "without a way to read them nothing is made").rejects.toThrow("R2");
  const reply = await call("POST", `/jobs/${job.id}/report`, { token: job.owner.token });
  expect(reply.status, reply.text).toBe(202);
  expect(await figures()).toBe(before);
});
