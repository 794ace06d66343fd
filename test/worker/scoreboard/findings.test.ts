/** Findings: what a person should look at, without any baseline; in verdicts, lists, exports and counts. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { listJobsRoute } from "../../../src/jobs/contract.ts";
import { listTasksRoute } from "../../../src/jobs/tasks/contract.ts";
import { readConfig } from "../../../src/lib/config.ts";
import type { Finding } from "../../../src/lib/stored-json.ts";
import { countOf } from "../../../src/scoreboard/facts.ts";
import { bounded, findingsOfJob } from "../../../src/scoreboard/findings.ts";
import { rateSettledJob } from "../../../src/scoreboard/rating.ts";
import { clusterFigures } from "../../world/results.ts";
import {
  call,
  detail,
  expectContract,
  join,
  machineUuid,
  putResult,
  resultBody,
} from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  type Measured,
  measureJob,
  type Person,
} from "../harness/factories.ts";
import { costOf, ownD1, planOf, rated, reported, rowsReadBy } from "../harness/instruments.ts";
import { jobRow, setJob } from "../harness/rows.ts";
import { nodeVerdict } from "../harness/verdicts.ts";

let serial = 0;
const newModel = () => `Finding GPU ${++serial}X`;

const machine = (over: Partial<Measured> & { bf16?: number; memory?: number } = {}): Measured => {
  const { bf16 = 100, memory = 2_000, ...rest } = over;
  const results = { aggregate_results: { bf16_tflops: bf16, memory_bandwidth_gbs: memory } };
  return { gpu_model: "Unheard-of 900", gpu_count: 1, results, ...rest };
};

const summaryOf = async (job: Parameters<typeof detail>[0]) =>
  (await detail(job)).body.scoreboard_summary;
const of = (metric: string, finding: Partial<Finding>) => ({ metric, ...finding });

describe("what is found", () => {
  test("GPUs of a node against each other", async ({ expect }) => {
    const results = {
      aggregate_results: { bf16_tflops: 380, memory_bandwidth_gbs: 8_000 },
      test_results: [100, 101, 80, 99].map((bf16_tflops) => ({ bf16_tflops })),
    };
    const job = await measureJob([machine({ gpu_count: 4, results })]);
    const { nodes, findings, finding_count } = await summaryOf(job);
    const finding = {
      kind: "gpu_straggler",
      metric: "bf16_tflops",
      rank: 0,
      gpu: 2,
      value: 80,
      expected: 99.5,
      ratio: 0.80402,
      message: "GPU 2: bf16_tflops 80, 80.4 % of the median of its node's GPUs (99.5)",
    };
    expect(findings).toEqual([finding]);
    expect(finding_count).toBe(1);
    expect(nodes[0].findings).toEqual([finding]);
    expect(Object.keys(nodes[0])[0], "before the verdict").toBe("findings");
  });

  test("nodes of a job against those of the same model, class and method, from three on", async ({
    expect,
  }) => {
    const gpu_model = newModel();
    const two = await measureJob([machine({ gpu_model }), machine({ gpu_model, bf16: 50 })]);
    expect((await summaryOf(two)).findings, "two have no middle").toEqual([]);
    const by = (method: string, bf16: number) => ({
      ...machine({ gpu_model, bf16 }),
      results: {
        aggregate_results: { bf16_tflops: bf16, memory_bandwidth_gbs: 2_000 },
        measurement: {
          version: 1,
          methods: { bf16_tflops: method, memory_bandwidth_gbs: "copy.ptx.4gib/1" },
        },
      },
    });
    const own = [100, 101, 94].map((bf16) => machine({ gpu_model, bf16 }));
    const others = [50, 51].map((bf16) => by("gemm.ptx.4096.nt.normal/1", bf16));
    const elsewhere = machine({ gpu_model: newModel(), bf16: 10 });
    const job = await measureJob([...own, ...others, elsewhere]);
    expect((await summaryOf(job)).findings).toEqual([
      {
        kind: "node_straggler",
        metric: "bf16_tflops",
        rank: 2,
        gpu: null,
        value: 94,
        expected: 100,
        ratio: 0.94,
        message: "bf16_tflops per GPU 94, 94 % of the median of the 3 similar nodes (100)",
      },
    ]);
    const even = await measureJob([100, 100, 95].map((bf16) => machine({ gpu_model, bf16 })));
    expect((await summaryOf(even)).findings, "STRAGGLER_BELOW itself is no finding").toEqual([]);
  });

  test("the machine against its own last job, and its number of GPUs", async ({ expect }) => {
    const owner = await createPerson();
    const own = { gpu_model: newModel(), machine_uuid: machineUuid() };
    const run = async (bf16: number, gpu_count: number) =>
      (await summaryOf(await measureJob([machine({ ...own, bf16, gpu_count })], owner))).findings;
    expect(await run(800, 8)).toEqual([]);
    expect(await run(560, 7)).toMatchObject([
      of("gpu_count", {
        kind: "gpu_count",
        value: 7,
        expected: 8,
        message: "8 GPUs before, 7 now",
      }),
      of("bf16_tflops", { kind: "drop", value: 80, expected: 100, ratio: 0.8 }),
    ]);
  });

  test("GPUs that were not measured, and nodes with fewer than the others", async ({ expect }) => {
    const gpu_model = newModel();
    const test_results = Array.from({ length: 7 }, () => ({ bf16_tflops: 100 }));
    const results = {
      aggregate_results: { bf16_tflops: 700, memory_bandwidth_gbs: 1 },
      test_results,
    };
    const job = await measureJob([
      machine({ gpu_model, gpu_count: 8, bf16: 800 }),
      machine({ gpu_model, gpu_count: 8, results }),
      machine({ gpu_model, gpu_count: 6, bf16: 600 }),
    ]);
    const { findings } = await summaryOf(job);
    expect(findings.filter(({ kind }: Finding) => kind === "gpu_count")).toMatchObject([
      { rank: 1, value: 7, expected: 8, message: "figures of 7 GPUs, but the machine has 8" },
      { rank: 2, value: 6, expected: 8, message: "6 GPUs, but similar nodes have 8" },
    ]);
  });

  test("warnings of the machine's health, the most urgent first", async ({ expect }) => {
    const facts = [
      {},
      { power_limit_watts: 300, default_power_limit_watts: 400, pcie_width: 8, pcie_max_width: 16 },
    ];
    const results = {
      aggregate_results: { bf16_tflops: 200, memory_bandwidth_gbs: 4_000 },
      test_results: [{ bf16_tflops: 120 }, { bf16_tflops: 80 }],
      measurement: { version: 1, methods: {}, conditions: { facts } },
    };
    const job = await measureJob([machine({ gpu_model: newModel(), gpu_count: 2, results })]);
    expect((await summaryOf(job)).findings).toMatchObject([
      {
        kind: "health",
        gpu: 1,
        metric: "power_limit_watts",
        value: 300,
        expected: 400,
        ratio: 0.75,
        message: "GPU 1: its power limit is 300 W, below its default of 400 W",
      },
      { kind: "health", gpu: 1, metric: "pcie_width", ratio: 0.5 },
      { kind: "gpu_straggler", gpu: 1 },
    ]);
  });

  test("figures above the data sheet, of a GPU or of the node", async ({ expect }) => {
    const gpu_model = "NVIDIA A100-SXM4-80GB";
    const results = {
      aggregate_results: { bf16_tflops: 600, memory_bandwidth_gbs: 3_400, fp16_tflops: 700 },
      test_results: [
        { bf16_tflops: 340, memory_bandwidth_gbs: 1_700 },
        { bf16_tflops: 260, memory_bandwidth_gbs: 1_700 },
      ],
    };
    const job = await measureJob([machine({ gpu_model, gpu_count: 2, results })]);
    const { findings } = await summaryOf(job);
    expect(findings.filter(({ kind }: Finding) => kind === "above_data_sheet")).toMatchObject([
      {
        metric: "fp16_tflops",
        gpu: null,
        value: 350,
        expected: 312,
        message: "fp16_tflops per GPU 350, above the 312 of the data sheet",
      },
      { metric: "bf16_tflops", gpu: 0, value: 340, expected: 312, ratio: 1.089744 },
    ]);
  });

  test("copies that are slow one way, below 60 % of the other", async ({ expect }) => {
    const gpu_model = newModel();
    const copies = (to: number, from: number) => {
      const figures = { host_to_device_bandwidth_gbs: to, device_to_host_bandwidth_gbs: from };
      const node = { bf16_tflops: 100, memory_bandwidth_gbs: 2_000 };
      return machine({ gpu_model, results: { aggregate_results: { ...node, ...figures } } });
    };
    const of = async (to: number, from: number) =>
      (await summaryOf(await measureJob([copies(to, from)]))).findings;
    expect(await of(50, 29.9)).toEqual([
      {
        kind: "asymmetry",
        metric: "device_to_host_bandwidth_gbs",
        rank: 0,
        gpu: null,
        value: 29.9,
        expected: 50,
        ratio: 0.598,
        message: "device_to_host_bandwidth_gbs 29.9, 59.8 % of host_to_device_bandwidth_gbs (50)",
      },
    ]);
    expect(await of(20, 50)).toMatchObject([
      { kind: "asymmetry", metric: "host_to_device_bandwidth_gbs", value: 20, expected: 50 },
    ]);
    expect(await of(30, 50), "60 % itself is no finding").toEqual([]);
    expect(await of(50, 1e9), "nothing is compared with what cannot be true").toEqual([]);
  });

  test("slow links between the nodes", async ({ expect }) => {
    const job = await createJob({ node_count: 3, benchmarks: ["cluster_network"] });
    const ids: string[] = [];
    for (const _ of [0, 1, 2]) {
      const hardware = { machine_uuid: machineUuid(), gpu_model: newModel(), gpu_count: 1 };
      ids.push((await join(job, hardware)).body.id);
    }
    for (const id of ids) await putResult(job, id, 0);
    for (const [rank, id] of ids.entries()) {
      const { measurements } = clusterFigures(rank, 3, 10);
      const [first, ...rest] = measurements;
      const slow = rank === 0 ? [{ ...first, bandwidth_gbps: 5 }, ...rest] : measurements;
      await putResult(job, id, 1, resultBody({ measurements: slow }));
    }
    await rated(job);
    const { findings, nodes } = await summaryOf(job);
    expect(findings).toMatchObject([
      { kind: "network", metric: "bandwidth_gbps", rank: 0, value: 5, expected: 10, ratio: 0.5 },
    ]);
    expect(nodes[0].findings).toEqual(findings);
  });

  test("GPUs that others use are not compared, nor is their node", async ({ expect }) => {
    const gpu_model = newModel();
    const results = {
      aggregate_results: {
        ...{ bf16_tflops: 150, memory_bandwidth_gbs: 4_000 },
        ...{ host_to_device_bandwidth_gbs: 50, device_to_host_bandwidth_gbs: 10 },
      },
      test_results: [{ bf16_tflops: 100 }, { bf16_tflops: 50 }],
      measurement: { version: 1, methods: {}, conditions: { busy: true } },
    };
    const busy = machine({ gpu_model, gpu_count: 2, results });
    const job = await measureJob([busy, machine({ gpu_model }), machine({ gpu_model })]);
    expect((await summaryOf(job)).findings).toMatchObject([]);
  });
});

describe("a step that failed", () => {
  const fail = async (results: object | null, owner?: Person) => {
    const job = await createJob({}, owner);
    const { id } = (await join(job, { gpu_model: "NVIDIA A100-SXM4-80GB", gpu_count: 1 })).body;
    const body = { ...resultBody(results), state: "failed", error_message: "ECC error (cuda_214)" };
    const reply = await putResult(job, id, 0, body);
    expectOk(reply.status);
    await rated(job);
    return job;
  };
  const expectOk = (status: number) => {
    if (status !== 200) throw new Error(`answered ${status}`);
  };
  const partial = {
    aggregate_results: { bf16_tflops: 250 },
    test_results: [{ bf16_tflops: 250 }],
    measurement: {
      version: 1,
      partial: true,
      methods: { bf16_tflops: "gemm.cublaslt.4096.nn.normal/1" },
      faults: [
        {
          metric: "memory_bandwidth_gbs",
          gpu: null,
          code: "cuda_214",
          message: "copy: CUDA_ERROR_ECC_UNCORRECTABLE",
        },
      ],
    },
  };

  test("has its partial figures and its findings, and no verdict", async ({ expect }) => {
    const job = await fail(partial);
    const { tasks, findings, scoreboard_summary: summary } = (await detail(job)).body;
    expect(findings).toEqual(summary.findings);
    expect(tasks[0].benchmark_results.quick_mark).toMatchObject({
      state: "failed",
      results: partial,
    });
    expect(summary).toMatchObject({ status: "unrated", rated_nodes: 0 });
    expect(summary.findings).toMatchObject([
      {
        kind: "health",
        metric: "memory_bandwidth_gbs",
        message: "copy: CUDA_ERROR_ECC_UNCORRECTABLE",
      },
    ]);
    expect(summary.nodes[0].metrics[0]).toMatchObject({
      reason: "QuickMark did not complete",
      value: null,
    });
    expect((await detail(job)).body.quickmark_aggregate_results).toBeNull();
  });

  test("without anything to say has no verdict at all", async ({ expect }) => {
    const { measurement, ...rest } = partial;
    const job = await fail({ ...rest, measurement: { ...measurement, faults: [] } });
    expect(await jobRow(job)).toMatchObject({ verdict: null, findingCount: null });
    expect(await jobRow(await fail(null))).toMatchObject({ verdict: null });
  });
});

describe("bounds", () => {
  const finding = (rank: number, kind: Finding["kind"] = "drop"): Finding => ({
    kind,
    metric: "bf16_tflops",
    rank,
    gpu: null,
    value: 1,
    expected: 2,
    ratio: 0.5,
    message: "m",
  });

  test("a node shows 64, a job 32, and both count all of them", ({ expect }) => {
    const many = bounded(Array.from({ length: 70 }, () => finding(1)));
    expect([many.findings.length, many.moreFindings, countOf(many)]).toEqual([64, 6, 70]);
    const all = findingsOfJob([
      nodeVerdict(many),
      nodeVerdict(bounded([finding(0), finding(9, "health")])),
    ]);
    expect([all.findings.length, countOf(all)]).toEqual([32, 72]);
    expect(all.findings.slice(0, 2)).toEqual([finding(9, "health"), finding(0)]);
  });
});

const get = (path: string, { token }: Person, headers: Record<string, string> = {}) =>
  call("GET", path, { token, headers });

/** A person with a job that has a finding on one of its nodes, and one without. */
async function withJobs(options: Parameters<typeof createPerson>[0] = {}) {
  const person = await createPerson(options);
  const gpu_model = newModel();
  const figures = [100, 100, 50].map((bf16) => machine({ gpu_model, bf16 }));
  const found = await measureJob(figures, person);
  const clean = await measureJob([machine({ gpu_model: newModel() })], person);
  await get("/benchmarks", person);
  return { person, found, clean };
}

describe("lists", () => {
  test("GET /jobs?has_findings=true: a page of its own index, the total from counter rows", async ({
    expect,
  }) => {
    const customerId = await createCustomer();
    const { person, found } = await withJobs({ customerId });
    const admin = await createPerson({ role: "customer_admin", customerId });
    for (const viewer of [person, admin]) {
      const { reply, read } = await rowsReadBy(() =>
        get("/jobs?has_findings=true&include=performance", viewer),
      );
      expectContract(expect, reply, listJobsRoute, 200);
      expect(reply.body.results).toMatchObject([
        {
          id: found.id,
          performance: { finding_count: 1, findings: [{ kind: "node_straggler", rank: 2 }] },
        },
      ]);
      expect(reply.body.pagination.total).toBe(1);
      expect(Math.max(...read)).toBeLessThanOrEqual(6);
      const cost = await costOf(() => get("/jobs?has_findings=true", viewer));
      expect(cost).toMatchObject({ status: 200, d1_round_trips: 1, object_hops: 0 });
    }
    const total = async (query: string) =>
      (await get(`/jobs?${query}`, person)).body.pagination.total;
    expect(await total("has_findings=false"), "false is ignored").toBe(2);
    expect(await total("has_findings=true&state=completed")).toBe(1);
    expect(await total("has_findings=true&state=failed")).toBe(0);
    expect(await total("has_findings=true&has_performance_data=true")).toBe(1);
    expect((await get("/jobs?has_findings=maybe", person)).status).toBe(400);
    const staff = await createPerson({ role: "staff" });
    const all = await get("/jobs?has_findings=true&per_page=300", staff);
    expect(all.body.pagination.total).toBe(all.body.results.length);
    expect(all.body.results.length).toBeGreaterThan(0);
  });

  test("GET /tasks?has_findings=true: the same, with each node's findings", async ({ expect }) => {
    const customerId = await createCustomer();
    const { person, found } = await withJobs({ customerId });
    const admin = await createPerson({ role: "customer_admin", customerId });
    for (const viewer of [person, admin]) {
      const { reply, read } = await rowsReadBy(() => get("/tasks?has_findings=true", viewer));
      expectContract(expect, reply, listTasksRoute, 200);
      expect(reply.body.data).toMatchObject([
        { job_id: found.id, rank: 2, findings: [{ kind: "node_straggler", value: 50 }] },
      ]);
      expect(reply.body.pagination.total).toBe(1);
      expect(Math.max(...read)).toBeLessThanOrEqual(6);
    }
    const all = (await get("/tasks", person)).body.data;
    expect(all.map((task: { findings: unknown[] }) => task.findings.length).sort()).toEqual([
      0, 0, 0, 1,
    ]);
    const both = await get(`/tasks?has_findings=true&job_id=${found.id}`, person);
    expect(both.body.pagination.total).toBe(1);
    expect((await get("/tasks?has_findings=false", person)).body.pagination.total).toBe(4);
  });

  test("each scope reads an index of its own", async ({ expect }) => {
    const order = "ORDER BY created_at DESC, job_id DESC, rank DESC LIMIT 21";
    for (const [scope, suffix] of [
      ["owner = 'user:1:1' AND", "_by_owner"],
      ["customer_id = 1 AND", "_by_customer"],
      ["", ""],
    ] as const) {
      const where = `WHERE ${scope} deleted_at IS NULL AND finding_count > 0`;
      expect(await planOf(`SELECT * FROM jobs ${where} ORDER BY id DESC LIMIT 21`)).toMatch(
        new RegExp(`^(SCAN|SEARCH) jobs USING INDEX jobs_with_findings${suffix}( \\(.*\\))?$`),
      );
      expect(await planOf(`SELECT * FROM tasks ${where} ${order}`)).toMatch(
        new RegExp(`^(SCAN|SEARCH) tasks USING INDEX tasks_with_findings${suffix}( \\(.*\\))?$`),
      );
    }
  });

  test("exports have the findings before the verdict, in words", async ({ expect }) => {
    const { person, found } = await withJobs();
    const reply = await get(`/tasks?job_id=${found.id}&has_findings=true`, person, {
      accept: "application/x-ndjson",
    });
    const row = JSON.parse(reply.text);
    expect(row.findings).toBe(
      "bf16_tflops per GPU 50, 50 % of the median of the 3 similar nodes (100)",
    );
    const names = Object.keys(row);
    expect(names.indexOf("findings")).toBe(names.indexOf("performance_status") - 1);
  });

  test("counter rows are what counting finds, whatever happens to jobs and their nodes", async ({
    expect,
  }) => {
    const { found, clean } = await withJobs();
    await setJob(clean, { findingCount: 3 });
    await setJob(clean, { findingCount: 5 });
    await setJob(clean, { state: "failed" });
    await setJob(found, { deletedAt: 1 });
    await setJob(found, { deletedAt: null });
    await setJob(clean, { findingCount: null });
    const db = openDatabase(ownD1(), createMeter());
    const { rating } = readConfig(env);
    // Nothing is left to find: the counters fall again.
    await rateSettledJob(db, Number(found.id), Date.now(), { ...rating, stragglerBelow: 0.1 });
    expect((await jobRow(found)).findingCount).toBeNull();
    await rateSettledJob(db, Number(found.id), Date.now(), rating);
    const rowsOf = (table: string, jobs: number, tasks: number) =>
      `SELECT state, owner, customer_id, ${jobs} AS jobs, ${tasks} AS tasks FROM ${table} WHERE deleted_at IS NULL AND finding_count > 0`;
    const counted = `SELECT scope.value AS scope, state, sum(jobs) AS jobs, sum(tasks) AS tasks
      FROM (${rowsOf("jobs", 1, 0)} UNION ALL ${rowsOf("tasks", 0, 1)})
      CROSS JOIN json_each(json_array('all', owner, 'customer:' || customer_id)) scope
      GROUP BY 1, 2 ORDER BY 1, 2`;
    const kept = "SELECT * FROM finding_counts WHERE jobs <> 0 OR tasks <> 0 ORDER BY scope, state";
    const [rows, sums] = await env.DB.batch([env.DB.prepare(kept), env.DB.prepare(counted)]);
    expect(rows?.results).toEqual(sums?.results);
    expect(rows?.results.length).toBeGreaterThan(0);
  });
});

test("a report and the public facts of it come after a rating with findings", async ({
  expect,
}) => {
  const { found } = await withJobs();
  const { body } = await reported(found);
  expect(body.pdf_report_url).not.toBeNull();
});
