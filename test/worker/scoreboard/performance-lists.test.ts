/** Verdicts in lists, counts and exports: who sees what, by which filters, and at which cost. */
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { describe, onTestFinished, test, vi } from "vitest";
import slowA100 from "../../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import twoA100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import type { UserEnv } from "../../../src/identity/guards.ts";
import { getJobStatsRoute, listJobsRoute } from "../../../src/jobs/contract.ts";
import { listTasksRoute } from "../../../src/jobs/tasks/contract.ts";
import { exportOf, toCsvCell } from "../../../src/jobs/tasks/export.ts";
import type { ExportedTaskRow } from "../../../src/jobs/tasks/store.ts";
import { call, expectContract, expectError, join } from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  measureJob,
  type Person,
} from "../harness/factories.ts";
import { costOf, planOf, rated, rowsReadBy } from "../harness/instruments.ts";
import { setJob } from "../harness/rows.ts";
import { eventually, holdTimeouts } from "../harness/time.ts";

const get = (path: string, { token }: Person, headers: Record<string, string> = {}) =>
  call("GET", path, { token, headers });

/** A person with a bad job, a good one, and one that nobody has joined. */
async function withJobs(options: Parameters<typeof createPerson>[0] = {}) {
  const person = await createPerson(options);
  const bad = await measureJob([slowA100, twoA100], person, { name: "Bad One", tags: ["rack: 7"] });
  const good = await measureJob([twoA100], person, { name: "Good one" });
  const untouched = await createJob({ name: "Untouched" }, person);
  await get("/benchmarks", person);
  return { person, bad, good, untouched };
}

describe("GET /jobs", () => {
  test("shows verdicts, nodes and figures when asked for, in one D1 round trip", async ({
    expect,
  }) => {
    const { person, bad, good, untouched } = await withJobs();
    const plain = await get("/jobs", person);
    for (const job of plain.body.results) {
      expect(job).toMatchObject({ performance: null, performance_nodes: null, gpu_models: null });
    }
    const path = "/jobs?include=performance,performance_nodes&include_results=true";
    const reply = await get(path, person);
    expectContract(expect, reply, listJobsRoute, 200);
    expect(reply.body.results).toMatchObject([
      {
        id: untouched.id,
        performance: null,
        performance_nodes: null,
        gpu_models: [],
        quickmark_aggregate_results: null,
      },
      {
        id: good.id,
        gpu_models: ["NVIDIA A100-SXM4-80GB"],
        performance: { status: "expected", rated_nodes: 1, underperforming_nodes: 0 },
      },
      {
        id: bad.id,
        gpu_models: ["NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB"],
        performance: { status: "underperforming", benchmark_id: "quick_mark", rated_nodes: 2 },
        quickmark_aggregate_results: { node_count: 2, gpu_count: 10 },
      },
    ]);
    const { performance, performance_nodes } = reply.body.results[2];
    const { scoreboard_summary, quickmark_aggregate_results } = (
      await get(`/jobs/${bad.id}`, person)
    ).body;
    expect({ ...performance, nodes: performance_nodes }).toEqual(scoreboard_summary);
    expect(reply.body.results[2].quickmark_aggregate_results).toEqual(quickmark_aggregate_results);
    expect(await costOf(() => get(path, person))).toMatchObject({
      status: 200,
      d1_round_trips: 1,
      object_hops: 0,
    });
  });

  test("the same along cursors, deep pages, other orders and filters", async ({ expect }) => {
    const { person, bad } = await withJobs();
    const include = "include=performance&include=performance_nodes";
    const asked = [
      "sort_by=name",
      "tags=rack:%207",
      "name=bad",
      "state=completed&page=2&per_page=1",
    ];
    for (const query of [...asked, "per_page=1&page=3"]) {
      const reply = await get(`/jobs?${include}&${query}`, person);
      expectContract(expect, reply, listJobsRoute, 200);
      const found = reply.body.results.find((job: { id: string }) => job.id === bad.id);
      expect(found, query).toMatchObject({ performance: { status: "underperforming" } });
      expect(found.performance_nodes).toHaveLength(2);
    }
  });

  test("has_performance_data lists only what was rated, and counts it from counter rows", async ({
    expect,
  }) => {
    const customerId = await createCustomer();
    const { person, bad, good } = await withJobs({ customerId });
    const admin = await createPerson({ role: "customer_admin", customerId });
    for (const viewer of [person, admin]) {
      const { reply, read } = await rowsReadBy(() =>
        get("/jobs?has_performance_data=true", viewer),
      );
      expect(reply.body.results.map((job: { id: string }) => job.id)).toEqual([good.id, bad.id]);
      expect(reply.body.pagination).toMatchObject({ total: 2 });
      expect(Math.max(...read)).toBeLessThanOrEqual(12);
    }
    const all = await get("/jobs?has_performance_data=false", person);
    expect(all.body.pagination.total, "false is ignored").toBe(3);
    const staff = await createPerson({ role: "staff" });
    const seen = await get("/jobs?has_performance_data=true&per_page=300", staff);
    expect(seen.body.results.map((job: { id: string }) => job.id)).toEqual(
      expect.arrayContaining([good.id, bad.id]),
    );
    expect(seen.body.pagination.total).toBe(seen.body.results.length);
  });

  test("lists of rated jobs are read from their own index, for every scope", async ({ expect }) => {
    for (const [scope, index] of [
      ["owner = 'user:1:1' AND", "jobs_rated_by_owner"],
      ["customer_id = 1 AND", "jobs_rated_by_customer"],
      ["", "jobs_rated"],
    ] as const) {
      const query = `SELECT * FROM jobs WHERE ${scope} deleted_at IS NULL
        AND performance_status IS NOT NULL ORDER BY id DESC LIMIT 21`;
      expect(await planOf(query)).toMatch(
        new RegExp(`^(SCAN|SEARCH) jobs USING INDEX ${index}( \\(.*\\))?$`),
      );
    }
  });
});

describe("GET /jobs/stats", () => {
  const alerts = async (person: Person, query = "") =>
    (await get(`/jobs/stats${query}`, person)).body.alert_job_count;

  test("counts the jobs that underperform, by scope, name, tags and state", async ({ expect }) => {
    const customerId = await createCustomer();
    const { person, bad } = await withJobs({ customerId });
    const admin = await createPerson({ role: "customer_admin", customerId });
    const stranger = await createPerson();
    expectContract(expect, await get("/jobs/stats", person), getJobStatsRoute, 200);
    expect(await alerts(person)).toBe(1);
    expect(await alerts(admin)).toBe(1);
    expect(await alerts(stranger)).toBe(0);
    expect(await alerts(person, "?state=completed&benchmark_id=quick_mark")).toBe(1);
    expect(await alerts(person, "?state=failed")).toBe(0);
    expect(await alerts(person, "?name=bAD")).toBe(1);
    expect(await alerts(person, "?name=ba")).toBe(1);
    expect(await alerts(person, "?name=good")).toBe(0);
    expect(await alerts(person, "?name=%25")).toBe(0);
    expect(await alerts(admin, "?tags=rack:%207")).toBe(1);
    expect(await alerts(admin, "?tag=rack:%207&name=one")).toBe(1);
    expect(await alerts(admin, "?tags=rack:%207&tags=other")).toBe(0);
    for (const by of ["created_at", "ended_at", "name", "current_nodes"]) {
      expect(await alerts(person, `?sort_by=${by}&sort_order=asc`)).toBe(1);
    }
    const { token } = person;
    await call("DELETE", "/jobs/delete", { token, body: { id: bad.id } });
    expect(await alerts(person)).toBe(0);
    expect(await alerts(admin, "?name=bad")).toBe(0);
  });

  test("refuses what it does not know, by name", async ({ expect }) => {
    const person = await createPerson();
    for (const [query, field] of [
      ["benchmark_id=cluster_network", "benchmark_id"],
      ["sort_by=id", "sort_by"],
      ["sort_order=up", "sort_order"],
      ["state=done", "state"],
      [`name=${"x".repeat(61)}`, "name"],
    ]) {
      const reply = await get(`/jobs/stats?${query}`, person);
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      expect(reply.body.error.details[0].field).toBe(field);
    }
  });

  test("reads one counter row without filters, whatever the role", async ({ expect }) => {
    const { person } = await withJobs();
    const staff = await createPerson({ role: "staff" });
    for (const viewer of [person, staff]) {
      const { read } = await rowsReadBy(() => get("/jobs/stats", viewer));
      expect(read).toHaveLength(1);
      expect(read[0]).toBeGreaterThan(0);
      expect(read[0]).toBeLessThanOrEqual(2);
      expect(await costOf(() => get("/jobs/stats", viewer))).toMatchObject({
        d1_round_trips: 1,
        object_hops: 0,
      });
    }
  });

  test("counter rows are what counting finds, whatever happens to jobs", async ({ expect }) => {
    const { bad, good } = await withJobs();
    await setJob(bad, { performanceStatus: "outperforming" });
    await setJob(good, { performanceStatus: null });
    await setJob(good, { performanceStatus: "unrated" });
    await setJob(good, { state: "failed" });
    await setJob(bad, { deletedAt: 1 });
    await setJob(bad, { deletedAt: null });
    const counted = `
      SELECT scope, state, status, count(*) AS jobs FROM (
        SELECT 'all' AS scope, state, performance_status AS status FROM jobs WHERE deleted_at IS NULL AND performance_status IS NOT NULL
        UNION ALL SELECT owner, state, performance_status FROM jobs WHERE deleted_at IS NULL AND performance_status IS NOT NULL
        UNION ALL SELECT 'customer:' || customer_id, state, performance_status FROM jobs WHERE deleted_at IS NULL AND performance_status IS NOT NULL
      ) GROUP BY scope, state, status ORDER BY scope, state, status`;
    const kept = "SELECT * FROM performance_counts WHERE jobs <> 0 ORDER BY scope, state, status";
    // Both at one moment.
    const [rows, found] = await env.DB.batch([env.DB.prepare(kept), env.DB.prepare(counted)]);
    expect(rows?.results).toEqual(found?.results);
  });
});

describe("GET /tasks", () => {
  test("?performance_status= finds the bad nodes, a page at a flat cost", async ({ expect }) => {
    const customerId = await createCustomer();
    const { person, bad } = await withJobs({ customerId });
    const admin = await createPerson({ role: "customer_admin", customerId });
    for (const viewer of [person, admin]) {
      const reply = await get("/tasks?performance_status=underperforming", viewer);
      expectContract(expect, reply, listTasksRoute, 200);
      expect(reply.body.data).toMatchObject([
        { job_id: bad.id, rank: 0, performance_status: "underperforming" },
      ]);
      expect(reply.body.pagination.total).toBe(1);
    }
    expect((await get("/tasks?performance_status=expected", person)).body.data).toHaveLength(2);
    const wrong = await get("/tasks?performance_status=bad", person);
    expect(wrong.body.error.details[0].field).toBe("performance_status");
    for (const [scope, index] of [
      ["owner = 'user:1:1' AND", "tasks_by_owner_performance"],
      ["customer_id = 1 AND", "tasks_by_customer_performance"],
      ["", "tasks_by_performance"],
    ] as const) {
      const query = `SELECT * FROM tasks WHERE deleted_at IS NULL AND ${scope}
        performance_status = 'expected' ORDER BY created_at DESC, job_id DESC, rank DESC LIMIT 21`;
      expect(await planOf(query)).toMatch(
        new RegExp(`^SEARCH tasks USING INDEX ${index} \\(.*\\)$`),
      );
    }
  });
});

describe("exports", () => {
  test("CSV: RFC 4180, a header, units in names, and nothing that cannot be true", async ({
    expect,
  }) => {
    const { person, bad } = await withJobs();
    const reply = await get(`/tasks?job_id=${bad.id}&sort_order=asc`, person, {
      accept: "text/csv",
    });
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-type")).toBe("text/csv; charset=utf-8; header=present");
    expect(reply.headers.get("content-disposition")).toBe('attachment; filename="tasks.csv"');
    expect(reply.headers.get("vary")).toContain("Accept");
    expect(reply.headers.get("x-total-count")).toBe("2");
    const lines = reply.text.split("\r\n");
    expect(lines).toHaveLength(4);
    expect(lines.at(-1), "every line ends").toBe("");
    // Quoted cells hold commas.
    const cells = (line: string): string[] =>
      line.match(/(?<=^|,)(?:"(?:[^"]|"")*"|[^,"]*)(?=,|$)/g) ?? [];
    const [names = [], slow = [], fine = []] = lines.map(cells);
    const of = (row: string[], name: string) => row[names.indexOf(name)];
    expect(of(slow, "bf16_tflops_per_gpu")).toBe("149");
    expect(of(slow, "bf16_tflops_ratio")).toBe("0.58317");
    expect(of(slow, "bf16_tflops")).toBe("1192");
    expect(of(slow, "performance_status")).toBe("underperforming");
    expect(of(slow, "power_consumption_watts"), "41.7 W for 8 GPUs is no fact").toBe("");
    expect(of(fine, "power_consumption_watts")).toBe("847.39");
    expect(of(fine, "fp16_tflops_per_peak_watt")).toBe("0.615");
    expect(of(fine, "straggling_gpus")).toBe("0");
  });

  test("leaves out what the verdict has found impossible, however many GPUs share it", async ({
    expect,
  }) => {
    const person = await createPerson();
    // 130 W would do for one GPU, not for the eight in the list; how many there are the agent did not say.
    const aggregate_results = {
      ...slowA100.results.aggregate_results,
      power_consumption_watts: 130,
      fp16_tflops_per_peak_watt: 8.6,
    };
    const results = { aggregate_results, test_results: Array(8).fill({ bf16_tflops: 149 }) };
    const job = await measureJob([{ ...slowA100, gpu_count: null, results }], person);
    const reply = await get(`/tasks?job_id=${job.id}`, person, { accept: "application/x-ndjson" });
    expect(JSON.parse(reply.text)).toMatchObject({
      gpu_count: null,
      performance_status: "underperforming",
      bf16_tflops_per_gpu: 149,
      power_consumption_watts: null,
      fp16_tflops_per_peak_watt: null,
    });
  });

  test("JSON Lines: the same, one object a line; of a live job as far as it is", async ({
    expect,
  }) => {
    const { person } = await withJobs();
    const live = await createJob({ node_count: 2 }, person);
    await join(live, { gpu_model: null });
    const reply = await get("/tasks", person, { accept: "application/x-ndjson" });
    expect(reply.headers.get("content-type")).toBe("application/x-ndjson");
    const rows = reply.text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map((row) => [row.state, row.performance_status])).toEqual([
      ["running", null],
      ["completed", "expected"],
      ["completed", "expected"],
      ["completed", "underperforming"],
    ]);
    expect(rows[0]).toMatchObject({ gpu_model: null, bf16_tflops: null, bf16_tflops_ratio: null });
    expect(new Set(rows.map((row) => Object.keys(row).join())).size).toBe(1);
  });

  test("holds every task of the list once, page by page, and only what one sees", async ({
    expect,
  }) => {
    const person = await createPerson();
    const job = await createJob({ node_count: 256 }, person);
    for (let rank = 0; rank < 256; rank++) await join(job);
    await call("POST", `/jobs/${job.id}/abort`, { token: person.token });
    await rated(job);
    const { reply, read } = await rowsReadBy(() =>
      get("/tasks", person, { accept: "application/x-ndjson" }),
    );
    const ranks = reply.text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).rank);
    expect(ranks).toEqual(Array.from({ length: 256 }, (_none, n) => 255 - n));
    expect(read, "two pages, and the total with the first one alone").toHaveLength(3);
    const stranger = await createPerson();
    const nothing = await get(`/tasks?job_id=${job.id}`, stranger, { accept: "text/csv" });
    expect(nothing.text.split("\r\n")).toHaveLength(2);
    expect((await get("/tasks", stranger, { accept: "application/x-ndjson" })).text).toBe("");
  });

  test("breaks off where reading fails, and reads nothing that nobody waits for", async ({
    expect,
  }) => {
    const events: string[] = [];
    async function* pages() {
      try {
        events.push("read");
        yield [];
        throw new Error("D1 is gone");
      } finally {
        events.push("closed");
      }
    }
    const app = new Hono<UserEnv>().get("/", (c) => exportOf(c, pages(), "text/csv"));
    const reply = await app.request("/");
    await expect(reply.text(), "not an end that looks whole").rejects.toThrow("D1 is gone");
    const unset = ["machineIp", "gpuModel", "gpuCount", "gpuModels", "failedMessage", "startedAt"];
    const more = ["endedAt", "performanceStatus", "implausible", "verdict", "figures"];
    const task = {
      ...Object.fromEntries([...unset, ...more].map((name) => [name, null])),
      ...{ jobId: 1, id: 2, rank: 0, state: "completed", createdAt: 0 },
      machineUuid: "x".repeat(65_536),
    } as unknown as ExportedTaskRow; // the columns that an export reads
    async function* manyPages() {
      try {
        for (;;) {
          events.push("read");
          yield [task];
        }
      } finally {
        events.push("closed");
      }
    }
    const many = new Hono<UserEnv>().get("/", (c) => exportOf(c, manyPages(), "text/csv"));
    const timeouts = holdTimeouts();
    const start = async () => {
      events.length = 0;
      const { body } = await many.request("/");
      const reader = body?.getReader();
      expect(new TextDecoder().decode((await reader?.read())?.value)).toMatch(/^job_id,/);
      return reader;
    };
    const left = await start();
    await left?.cancel();
    await eventually(() => expect(events).toEqual(["read", "closed"]));
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const stalled = await start();
    timeouts.end();
    await eventually(() =>
      expect(events, "one that does not move is cut").toEqual(["read", "closed"]),
    );
    await expect(stalled?.read()).rejects.toThrow("stopped reading");
  });

  test("is for who asks for it: anything else is JSON", async ({ expect }) => {
    const person = await createPerson();
    for (const [accept, type] of [
      ["*/*", "application/json"],
      ["text/html", "application/json"],
      ["application/json, text/csv;q=0.5", "application/json"],
      ["application/json;q=0.1, text/csv", "text/csv; charset=utf-8; header=present"],
      ["text/*", "text/csv; charset=utf-8; header=present"],
    ] as const) {
      const reply = await get("/tasks", person, { accept });
      expect(reply.headers.get("content-type"), accept).toBe(type);
    }
  });

  test("no cell is a formula to a spreadsheet, and quotes are RFC 4180's", ({ expect }) => {
    expect(["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx"].map(toCsvCell)).toEqual([
      ...["'=1+1", "'+1", "'-1", "'@x", "'\tx", '"\'\rx"', '"\'\nx"'],
    ]);
    expect(["＝1+1", "＋1", "－1", "＠x", "日本語"].map(toCsvCell)).toEqual([
      ...["'＝1+1", "'＋1", "'－1", "'＠x", "日本語"],
    ]);
    expect(["a,b", 'say "hi"', "two\nlines", "", null, -1.5, 0].map(toCsvCell)).toEqual([
      ...['"a,b"', '"say ""hi"""', '"two\nlines"', "", "", "-1.5", "0"],
    ]);
  });
});
