/** Making a report again: after a new verdict, beside another maker, after a kill, for 256 nodes. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { createHash } from "node:crypto";
import { describe, onTestFinished, test, vi } from "vitest";
import slowA100 from "../../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import twoA100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import { createApp } from "../../../src/app.ts";
import { openBucket } from "../../../src/db/bucket.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { tasks } from "../../../src/db/schema.ts";
import { generateReportRoute, makeReportRoute } from "../../../src/jobs/report-contract.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { getReportRoute } from "../../../src/reports/contract.ts";
import { findFacts } from "../../../src/reports/facts-store.ts";
import { makeReports } from "../../../src/reports/make.ts";
import { patient } from "../../patience.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import {
  appDeps,
  call,
  detail,
  expectContract,
  expectError,
  machineUuid,
} from "../harness/client.ts";
import { createJob, createPerson, measureJob } from "../harness/factories.ts";
import { coordinatorOf, refuseReports, reported } from "../harness/instruments.ts";
import { insertRows, jobRow, setJob, taskValues, times } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";
import {
  askReport,
  failuresOf,
  keysOf,
  make,
  open,
  rateAgain,
  reportRows,
} from "./report-files.ts";

const clock = vi.spyOn(systemClock, "now");

test("256 nodes of 8 GPUs: every node has its report, in a few batches; a kill costs one of them", {
  timeout: patient(120_000),
}, async ({ expect }) => {
  const job = await createJob({ node_count: 256 });
  const id = Number(job.id);
  await fillWithNodes(id, 256, 8);
  const meter = createMeter();
  const db = openDatabase(env.DB, meter);
  const bucket = openBucket(env.BUCKET, meter);
  const { rating: thresholds, reportSeeds: seeds } = readConfig(env);
  const deps = { db, bucket, assets: env.ASSETS, thresholds, seeds, now: 1 };
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
  // Reports are noted 32 at once.
  expect(meter.d1RoundTrips).toBe(1 + 6);
  expect(await reportRows(job)).toHaveLength(257);
  expect(await keysOf(job)).toHaveLength(257);
  expect(await makeReports(deps, id)).toBe(0);
});

test("tasks with long texts are read a few at a time, and all of them are in the report", async ({
  expect,
}) => {
  const job = await createJob({ node_count: 40 });
  const id = Number(job.id);
  await fillWithNodes(id, 40, 1, "x".repeat(30_000));
  const meter = createMeter();
  const facts = await findFacts(openDatabase(env.DB, meter), id);
  // 17 tasks of 30 KB are below 512 KiB.
  expect(meter.d1RoundTrips).toBe(3);
  expect(facts?.tasks.map(({ rank }) => rank)).toEqual(times(40, (rank) => rank));
});

/** Makes a job one that has settled with so many nodes: through the API it would take minutes. */
async function fillWithNodes(
  jobId: number,
  nodes: number,
  gpus: number,
  errorMessage: string | null = null,
): Promise<void> {
  const step = { state: "completed" as const, startedAt: 1, endedAt: 2, errorMessage };
  const figures = { bf16_tflops: 700, memory_bandwidth_gbs: 2_900, power_consumption_watts: 500 };
  const each = Array.from({ length: gpus }, (_, at) => ({ gpu_id: `GPU-${at}`, ...figures }));
  const results = JSON.stringify({ aggregate_results: figures, test_results: each });
  const bytes = results.length;
  await env.BUCKET.put(`results/${jobId}`, results.repeat(nodes));
  const { customerId, userId, nodeCount } = await jobRow({ id: jobId });
  const nodeRows = times(nodes, (rank) =>
    taskValues({
      id: jobId + 1 + rank,
      jobId,
      rank,
      machineUuid: machineUuid(),
      gpuModel: "NVIDIA H200",
      gpuCount: gpus,
      steps: [step],
      bodies: [[0, bytes]] as const,
      bodyOffset: rank * bytes,
      progress: 1,
      createdAt: 1,
      customerId,
      userId,
    }),
  );
  await insertRows(tasks, nodeRows);
  await setJob(
    { id: jobId },
    {
      state: "completed",
      coordinated: true,
      currentNodes: nodeCount,
      startedAt: 1,
      endedAt: 2,
      bodyBytes: nodes * bytes,
      steps: [{ ...step, summary: null }],
    },
  );
}

describe("making it again", () => {
  test("changes nothing while nothing has changed, by the owner and by an agent", async ({
    expect,
  }) => {
    // Links change at midnight.
    clock.mockReturnValue(Date.now());
    onTestFinished(() => void clock.mockReset());
    const job = await measureJob([slowA100]);
    const before = await reported(job);
    const etag = (await open(before.body.pdf_report_url)).headers.get("etag");
    const rows = await reportRows(job);
    const byOwner = await askReport(job);
    expectContract(expect, byOwner, makeReportRoute, 202);
    const byAgent = await call("POST", `/jobs/${job.id}/generate-report`, { token: job.token });
    expectContract(expect, byAgent, generateReportRoute, 202);
    expect(byOwner.body).toEqual({ pdf_report_url: before.body.pdf_report_url });
    expect(byAgent.body, "the machines' token reads no report").toEqual({ pdf_report_url: null });
    expect((await open(byOwner.body.pdf_report_url)).headers.get("etag")).toBe(etag);
    expect(await reportRows(job)).toEqual(rows);
    expect((await detail(job)).text).toBe(before.text);
    expect(await make(job), "nothing drawn").toBe(0);
  });

  test("draws what a new verdict has changed; the older hash says that it is not the latest", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100]);
    await reported(job);
    const [first] = await reportRows(job);
    await rateAgain(job, 7);
    await askReport(job);
    const old = await call("GET", `/reports/${first?.hash}`);
    expectContract(expect, old, getReportRoute, 200);
    expect(old.body).toMatchObject({ version: 1, is_latest: false });
    const newest = (await reportRows(job)).findLast(({ rank }) => rank === null);
    const now = await call("GET", `/reports/${newest?.hash}`);
    expect(now.body).toMatchObject({ version: 2, is_latest: true, job_id: job.id, task_id: null });
    expect(now.body.replayed).toBe(false);
    const recorded = await measureJob([
      { ...twoA100, results: { ...twoA100.results, replayed: true } },
    ]);
    await reported(recorded);
    for (const { hash } of await reportRows(recorded)) {
      const { body } = await call("GET", `/reports/${hash}`);
      expect(body).toMatchObject({ status: "unrated", replayed: true });
    }
    const { bytes } = await open((await detail(job)).body.pdf_report_url);
    expect(now.body.file_sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect(now.body.file_bytes).toBe(bytes.length);
    expect((await readPdf(bytes)).text).toContain("Version 7 of the server's baselines");
    expect(await keysOf(job), "older files are gone").toHaveLength(2);
  });

  test("of two makers, one slower and of an older verdict: the newer one stays, and its file", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    await rateAgain(job, 3);
    const put = vi.spyOn(env.BUCKET, "put").mockImplementation((async (
      ...args: Parameters<R2Bucket["put"]>
    ) => {
      put.mockRestore();
      // The job is rated anew, and reported, while the slower one is about to put its first file.
      await rateAgain(job, 4);
      await make(job);
      return env.BUCKET.put(...args);
    }) as typeof env.BUCKET.put);
    await make(job);
    const newest = await open(url);
    expect(newest.status).toBe(200);
    expect((await readPdf(newest.bytes)).text).toContain("Version 4 of the server's baselines");
    expect(await keysOf(job)).toHaveLength(2);
    const versions = (await reportRows(job)).filter(({ rank }) => rank === null);
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
      await rateAgain(job, 5);
      newer = make(job);
      await hasPut.promise;
      return env.BUCKET.list(...args);
    }) as typeof env.BUCKET.list);
    await make(job);
    later.resolve();
    await newer;
    const file = await open(url);
    expect(file.status).toBe(200);
    expect((await readPdf(file.bytes)).text).toContain("Version 5 of the server's baselines");
  });

  test("while somebody opens it leads them to the newer file", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    const head = vi.spyOn(env.BUCKET, "head").mockImplementation(async (key) => {
      head.mockRestore();
      await rateAgain(job, 6);
      await make(job);
      return env.BUCKET.head(key);
    });
    const file = await open(url);
    expect(file.status).toBe(200);
    expect((await readPdf(file.bytes)).text).toContain("Version 6 of the server's baselines");
  });

  test("puts a lost file back", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    const url = (await reported(job)).body.pdf_report_url;
    const { bytes } = await open(url);
    await env.BUCKET.delete(await keysOf(job));
    expect((await open(url)).status).toBe(404);
    await askReport(job);
    expect((await open(url)).bytes).toEqual(bytes);
  });

  test("is refused while the job lives, and for who does not see it", async ({ expect }) => {
    const job = await createJob();
    const message = "The job has not ended yet; its report is made when it ends";
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
    await rateAgain(job, 9);
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
    expect((await readPdf(between.bytes)).text).toContain("Version 0 of the server's baselines");
    expect((await keysOf(job)).length).toBeGreaterThan(2);
    expect(await make(job)).toBe(2);
    expect((await readPdf((await open(url)).bytes)).text).toContain(
      "Version 9 of the server's baselines",
    );
    expect(await keysOf(job)).toHaveLength(2);
  });

  test("of a first report: settling is not held up, and the alarm makes it", async ({ expect }) => {
    const put = refuseReports();
    onTestFinished(() => put.mockRestore());
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => warned.mockRestore());
    const job = await measureJob([twoA100]);
    await eventually(() => expect(failuresOf(job, warned)).toContain("R2 is away"));
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
