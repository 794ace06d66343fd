/** From a job's end to a file that a link opens: made once, served in parts, checked by anyone. */
import { env } from "cloudflare:workers";
import { sql } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import slowA100 from "../../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import twoA100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import { createApp } from "../../../src/app.ts";
import { openBucket } from "../../../src/db/bucket.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { jobs as jobsTable } from "../../../src/db/schema.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { removeReports, sweepReports } from "../../../src/reports/sweep.ts";
import { findUnreported } from "../../../src/reports/sweep-store.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import {
  appDeps,
  call,
  detail,
  expectError,
  join,
  putResult,
  QUICK_MARK_RESULTS,
  resultBody,
} from "../harness/client.ts";
import { createJob, measureJob, type TestJob } from "../harness/factories.ts";
import { costOf, farAhead, refuseReports, reported } from "../harness/instruments.ts";
import { jobRow, setJob, taskRows } from "../harness/rows.ts";
import { eventually, holdTimeouts } from "../harness/time.ts";
import { failuresOf, keysOf, make, open, reportRows } from "./report-files.ts";

const DAY = 86_400_000;
const clock = vi.spyOn(systemClock, "now");

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
    expect(text.split("\n")).toContain("58.3 %");
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
      state: "failed",
      started_at: "2026-01-01T00:00:00Z",
      ended_at: "2026-01-01T00:01:00Z",
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
    expect(own.pages[0]).toContain("No machine joined, so nothing was measured.");
  });

  test("of nobody gets none, and neither does one that lives or is deleted", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    await reported(job);
    const live = await createJob();
    await join(live);
    expect(await make(live)).toBeNull();
    const id = Number(job.id);
    await setJob({ id }, { userId: 0 });
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
  await setJob(broken, { steps: sql`'no JSON'` });
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  const sweep = () =>
    sweepReports({
      db: openDatabase(env.DB, createMeter()),
      bucket: openBucket(env.BUCKET, createMeter()),
      assets: env.ASSETS,
      thresholds: readConfig(env).rating,
      seeds: readConfig(env).reportSeeds,
      clock: systemClock,
    });
  const first = await sweep();
  expect(first.made).toBeGreaterThanOrEqual(1);
  expect(first.failed).toBe(1);
  expect((await detail(good)).body.pdf_report_url).toEqual(expect.stringContaining(good.id));
  expect(await sweep()).toEqual({ made: 0, failed: 1 });
  await setJob(broken, { endedAt: 1 });
  expect(await sweep(), "given up after a day").toEqual({ made: 0, failed: 0 });
});

test("cron leaves a job to its object, which rates it first, for five minutes", async ({
  expect,
}) => {
  const put = refuseReports();
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => {
    put.mockRestore();
    warned.mockRestore();
    clock.mockReset();
  });
  // Its object would try again after some seconds.
  clock.mockReturnValue(farAhead());
  const job = await measureJob([twoA100]);
  await eventually(() => expect(failuresOf(job, warned)).toContain("R2 is away"));
  put.mockRestore();
  const ended = Date.parse((await detail(job)).body.ended_at);
  const sweepAt = async (now: number) => {
    await sweepReports({
      db: openDatabase(env.DB, createMeter()),
      bucket: openBucket(env.BUCKET, createMeter()),
      assets: env.ASSETS,
      thresholds: readConfig(env).rating,
      seeds: readConfig(env).reportSeeds,
      clock: { now: () => now },
    });
    return (await reportRows(job)).length;
  };
  expect(await sweepAt(ended + 5 * 60_000 - 1)).toBe(0);
  expect(await sweepAt(ended + 5 * 60_000)).toBe(2);
});

test("those that cannot be made, however many, keep no other from its turn", async ({ expect }) => {
  const jobs = await Promise.all(Array.from({ length: 25 }, () => createJob()));
  for (const job of jobs) await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  const [good, ...broken] = jobs as [TestJob, ...TestJob[]]; // many were made
  // All others ended after it, and were tried before it if nobody took turns.
  const change = { steps: sql`'no JSON'`, endedAt: sql`${jobsTable.endedAt} + 1000` };
  for (const job of broken) await setJob(job, change);
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => warned.mockRestore());
  const start = Date.now();
  for (let minute = 0; minute < 3; minute++) {
    await sweepReports({
      db: openDatabase(env.DB, createMeter()),
      bucket: openBucket(env.BUCKET, createMeter()),
      assets: env.ASSETS,
      thresholds: readConfig(env).rating,
      seeds: readConfig(env).reportSeeds,
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
    (await reportRows(job)).length,
    [await jobRow(job), ...(await taskRows(job))].filter((row) => row.reportHash !== null).length,
  ];
  expect(await left()).toEqual([2, 2, 2]);
  const remove = (now: number, bucket = env.BUCKET) =>
    removeReports({
      db: openDatabase(env.DB, createMeter()),
      bucket: openBucket(bucket, createMeter()),
      clock: { now: () => now },
      goOn: () => true,
    });
  const deleted = Date.now();
  await call("DELETE", "/jobs/delete", { token: job.owner.token, body: { id: job.id } });
  await remove(deleted + 3_500_000);
  expect(await left(), "whoever makes one now has an hour").toEqual([2, 2, 2]);
  const broken = { ...env.BUCKET, list: () => Promise.reject(new Error("R2 is away")) };
  await expect(remove(deleted + 4_000_000, broken as unknown as R2Bucket)).rejects.toThrow("away");
  expect(await left()).toEqual([2, 2, 2]);
  await remove(deleted + 4_000_000);
  expect(await left()).toEqual([0, 0, 0]);
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
    const [row] = await reportRows(job);
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

  test("304 and HEAD read no file", async ({ expect }) => {
    const get = vi.spyOn(env.BUCKET, "get");
    onTestFinished(() => void get.mockRestore());
    await open(url, {}, "HEAD");
    await open(url, { "if-none-match": whole.headers.get("etag") ?? "" });
    expect(get).not.toHaveBeenCalled();
  });

  test("a client that stops reading is cut off after a minute, and the file is let go", async ({
    expect,
  }) => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void warn.mockRestore());
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(whole.bytes.slice(0, 1_000)),
      cancel: () => {
        isCancelled = true;
      },
    });
    // The casts are needed because nothing else of the objects is used.
    const get = vi.spyOn(env.BUCKET, "get").mockResolvedValue({ body } as R2ObjectBody);
    onTestFinished(() => void get.mockRestore());
    // More than is sent at once.
    const head = vi.spyOn(env.BUCKET, "head").mockResolvedValue({ size: 1_000_000 } as R2Object);
    onTestFinished(() => void head.mockRestore());
    const timeouts = holdTimeouts();
    const reply = await (await createApp(appDeps())).request(url);
    const reader = reply.body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    expect(isCancelled).toBe(false);
    await eventually(async () => {
      timeouts.end();
      expect(isCancelled).toBe(true);
    });
    expect(warn.mock.calls.join()).toContain("The client stopped reading");
    const rest = async () => {
      while (!(await reader?.read())?.done);
    };
    await expect(rest()).rejects.toThrow();
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

  test("what it costs: one D1 round trip, no hop, two calls of R2", async ({ expect }) => {
    const one = { status: 200, d1_round_trips: 1, object_hops: 0 };
    expect(await costOf(() => call("GET", url))).toMatchObject({ ...one, r2_calls: 2 });
    const [row] = await reportRows(job);
    expect(await costOf(() => call("GET", `/reports/${row?.hash}`))).toMatchObject(one);
    const bad = url.replace(/signature=../, "signature=zz");
    expect(await costOf(() => call("GET", bad)), "refused before D1").toMatchObject({
      status: 404,
      d1_round_trips: 0,
    });
  });

  test("what making costs: four round trips, with the attempt's beginning and end", async ({
    expect,
  }) => {
    const { token } = job.owner;
    const report = () => call("POST", `/jobs/${job.id}/report`, { token });
    // The caller is known from here on: looking one up is a round trip of its own.
    await detail(job);
    expect(await costOf(report)).toMatchObject({ status: 202, d1_round_trips: 4, object_hops: 0 });
    await env.BUCKET.delete(await keysOf(job));
    expect(await costOf(report)).toMatchObject({ status: 202, d1_round_trips: 4, object_hops: 0 });
  });

  test("a hash that never was is unknown, one that is none is refused", async ({ expect }) => {
    expectError(expect, await call("GET", `/reports/${"0".repeat(64)}`), 404, "RESOURCE_NOT_FOUND");
    const misspelt = await call("GET", "/reports/xyz");
    expectError(expect, misspelt, 400, "PARAMETER_INCORRECT_VALUE");
    expect(misspelt.body).toMatchObject({
      message: "hash must be a SHA-256 hash: 64 digits 0 to 9 and a to f",
    });
  });
});
