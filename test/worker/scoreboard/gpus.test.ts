/** The GPUs behind a verdict: of several models, slices, and fewer of them than in the machine's last job. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { describe, test } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { machineFigures } from "../../../src/db/schema/scoreboard.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { joinRoute } from "../../../src/nodes/contract.ts";
import { recomputeBaselines, rerate } from "../../../src/scoreboard/upkeep.ts";
import {
  call,
  claim,
  claimedBy,
  detail,
  expectContract,
  expectError,
  join,
  machineUuid,
  putResult,
  resultBody,
} from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createRunner,
  createSpec,
  measureJob,
  type TestJob,
} from "../harness/factories.ts";
import { rated } from "../harness/instruments.ts";
import { countOf } from "../harness/rows.ts";
import { later } from "../runners/shop.ts";

const db = openDatabase(env.DB, createMeter());
const { rating } = readConfig(env);
const cron = async () => {
  await recomputeBaselines(db, Date.now(), rating);
  return rerate(db, Date.now(), 100, rating);
};
await cron();

const A100 = "NVIDIA A100-SXM4-80GB";
const H100 = "NVIDIA H100 80GB HBM3";
const a100 = { gpu_model: A100, bf16_tflops: 265.2, memory_bandwidth_gbs: 1_740 };
const h100 = { gpu_model: H100, bf16_tflops: 708.9, memory_bandwidth_gbs: 2_972 };
const MIXED = [
  { model: A100, count: 2 },
  { model: H100, count: 2 },
];

const resultsOf = (tests: readonly (typeof a100)[]) => ({
  aggregate_results: {
    bf16_tflops: tests.reduce((sum, { bf16_tflops }) => sum + bf16_tflops, 0),
    memory_bandwidth_gbs: tests.reduce((sum, each) => sum + each.memory_bandwidth_gbs, 0),
  },
  test_results: tests,
});
const mixed = (tests: readonly (typeof a100)[], machine_uuid = machineUuid()) => ({
  gpu_model: null,
  gpu_count: null,
  gpu_models: MIXED,
  machine_uuid,
  results: resultsOf(tests),
});
const nodeOf = async (job: TestJob) => (await detail(job)).body.scoreboard_summary.nodes[0];
const ratedMetrics = (metrics: { metric: string; gpu_model: string; status: string }[]) =>
  metrics.flatMap(({ metric, gpu_model, status }) =>
    gpu_model === null ? [] : [[metric, gpu_model, status]],
  );

describe("a node with GPUs of two models", () => {
  const EXPECTED = [
    ["bf16_tflops", A100, "expected"],
    ["memory_bandwidth_gbs", A100, "expected"],
    ["bf16_tflops", H100, "expected"],
    ["memory_bandwidth_gbs", H100, "expected"],
  ];

  test("has an entry for each, rated by its own baseline; no model names both", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const job = await measureJob([mixed([a100, h100, a100, h100])], owner);
    const { body } = await detail(job);
    const shown = { gpu_model: null, gpu_count: 4, gpu_models: MIXED };
    expect(body.tasks[0]).toMatchObject(shown);
    const { scoreboard_summary: summary } = body;
    expect(summary).toMatchObject({ status: "expected", rated_nodes: 1 });
    expect(summary.nodes[0]).toMatchObject({ ...shown, status: "expected" });
    expect(ratedMetrics(summary.nodes[0].metrics)).toEqual(EXPECTED);
    expect(ratedMetrics(summary.metrics), "a job of one node has all of them").toEqual(EXPECTED);
    expect(summary.nodes[0].metrics[2]).toMatchObject({ value: 708.9, baseline: 708.9, ratio: 1 });
    const query = "?include_results=true&include=performance,performance_nodes";
    const [listed] = (await call("GET", `/jobs${query}`, { token: owner.token })).body.results;
    expect(listed.gpu_models).toEqual([A100, H100]);
    expect(ratedMetrics(listed.performance_nodes[0].metrics)).toEqual(EXPECTED);
    expect(listed.performance_nodes[0]).toMatchObject(shown);
    const lines = await exported(job);
    expect(lines[0]).toMatchObject({ gpu_model: null, gpu_count: 4, gpu_models: MIXED });
  });

  test("is named by the inventory's UUIDs, where the results name no model", async ({ expect }) => {
    const job = await createJob();
    const gpus = [A100, H100, A100, H100].map((model, at) => ({ model, uuid: `GPU-${at}` }));
    const joined = await join(job, {
      ...{ gpu_model: undefined, gpu_count: undefined },
      gpu_models: MIXED,
      inventory: { gpus },
    });
    expectContract(expect, joined, joinRoute, 201);
    const tests = [a100, h100, a100, h100].map(({ gpu_model: _, ...figures }, at) => ({
      ...figures,
      gpu_id: `GPU-${at}`,
    }));
    const results = { ...resultsOf([a100, h100, a100, h100]), test_results: tests };
    await putResult(job, joined.body.id, 0, resultBody(results));
    await rated(job);
    expect(ratedMetrics((await nodeOf(job)).metrics)).toEqual(EXPECTED);
  });

  test("a slow model is named; the healthy one beside it stays so", async ({ expect }) => {
    const slow = { ...h100, bf16_tflops: 500 };
    const node = await nodeOf(await measureJob([mixed([a100, a100, slow, slow])]));
    expect(node.status).toBe("underperforming");
    expect(ratedMetrics(node.metrics)).toEqual([
      ...EXPECTED.slice(0, 2),
      ["bf16_tflops", H100, "underperforming"],
      ["memory_bandwidth_gbs", H100, "expected"],
    ]);
  });

  test("lags are seen within a model, and not between them", async ({ expect }) => {
    const slow = { ...h100, bf16_tflops: 600 };
    const node = await nodeOf(await measureJob([mixed([a100, h100, a100, slow])]));
    expect(node.stragglers).toMatchObject([{ gpu: 3, metric: "bf16_tflops", median: 654.45 }]);
  });

  test("what has fallen of a model since the last job is a drop of it", async ({ expect }) => {
    const owner = await createPerson();
    const own = machineUuid();
    await measureJob([mixed([a100, a100, h100, h100], own)], owner);
    const slow = { ...h100, bf16_tflops: 600 };
    const node = await nodeOf(await measureJob([mixed([a100, a100, slow, slow], own)], owner));
    expect(node.drops).toMatchObject([
      { metric: "bf16_tflops", gpu_model: H100, value: 600, previous_value: 708.9 },
    ]);
  });

  test.for([
    ["without figures of each GPU", undefined, "no figures of each GPU"],
    ["with figures of GPUs that nobody names", [{}, {}, {}, {}], "figures for 0 such GPUs"],
    ["with too few figures", [a100, a100, h100], "figures of 3 GPUs"],
    ["with an impossible figure", [a100, a100, { ...h100, bf16_tflops: 9e9 }, h100], "cannot be"],
    ["with a GPU without a figure", [a100, a100, { gpu_model: H100 }, h100], "not measured"],
  ] as const)("%s it is unrated, and says why", async ([, test_results, why], { expect }) => {
    const { aggregate_results } = resultsOf([a100, a100, h100, h100]);
    const results = { aggregate_results, test_results };
    const node = await nodeOf(await measureJob([{ ...mixed([]), results }]));
    expect(node.status).not.toBe("underperforming");
    const reasons = node.metrics.map(({ reason }: { reason: string }) => reason).join("\n");
    expect(reasons).toContain(why);
  });

  test("2 × H100 NVL and 2 × L40S, all healthy: unrated, since neither has a baseline", async ({
    expect,
  }) => {
    const models = ["NVIDIA H100 NVL", "NVIDIA L40S"];
    const figures = [
      { gpu_model: "NVIDIA H100 NVL", bf16_tflops: 452.2, memory_bandwidth_gbs: 3_254 },
      { gpu_model: "NVIDIA L40S", bf16_tflops: 220, memory_bandwidth_gbs: 690 },
    ];
    const all = figures.flatMap((each) => [each, each]);
    const gpu_models = models.map((model) => ({ model, count: 2 }));
    const node = await nodeOf(await measureJob([{ ...mixed(all), gpu_models }]));
    expect(node.status).toBe("unrated");
    expect(node.metrics[0]).toMatchObject({ gpu_model: models[0], value: 452.2, ratio: 1 });
  });

  test("is rated again when the value of either model is pinned, and counts in no fleet", async ({
    expect,
  }) => {
    const gpu_models = ["pin-a", "pin-b"].map((model) => ({ model, count: 1 }));
    const tests = gpu_models.map(({ model }) => ({ ...a100, gpu_model: model }));
    const own = machineUuid();
    const job = await measureJob([{ ...mixed(tests, own), gpu_models }]);
    expect((await nodeOf(job)).status).toBe("unrated");
    const { token } = await createPerson({ role: "root_admin" });
    for (const [model, value, statuses] of [
      ["pin-b", 600, ["unrated", "underperforming"]],
      ["pin-a", 265, ["expected", "underperforming"]],
    ] as const) {
      await call("PUT", `/baselines/${model}/bf16_tflops`, { token, body: { value } });
      expect(await cron()).toBe(1);
      const { metrics } = await nodeOf(job);
      expect([metrics[0].status, metrics[2].status]).toEqual(statuses);
    }
    expect(await countOf(machineFigures, eq(machineFigures.machineUuid, own))).toBe(0);
  });
});

describe("joining with several models", () => {
  test.for([
    ["equal names are one group", [A100, A100], { gpu_model: A100, gpu_count: 2 }],
    ["the list decides over the other two", [A100, H100], { gpu_model: null, gpu_count: 2 }],
  ] as const)("%s", async ([, models, shown], { expect }) => {
    const gpu_models = models.map((model) => ({ model, count: 1 }));
    const joined = await join(await createJob(), { gpu_model: "other", gpu_count: 7, gpu_models });
    expect(joined.body).toMatchObject(shown);
  });

  test.for([
    [
      "more GPUs than a node has",
      [
        { model: A100, count: 40 },
        { model: H100, count: 25 },
      ],
    ],
    ["no GPU of a model", [{ model: A100, count: 0 }]],
    ["a model without a name", [{ model: "", count: 1 }]],
    ["seventeen models", Array.from({ length: 17 }, (_, at) => ({ model: `m${at}`, count: 1 }))],
  ] as const)("refused: %s", async ([, gpu_models], { expect }) => {
    const joined = await join(await createJob(), { gpu_models });
    expectError(expect, joined, 400, "PARAMETER_INCORRECT_VALUE");
    expect(joined.body.error.details[0].field).toMatch(/^gpu_models/);
  });

  test("a machine that stated no count has its model without one", async ({ expect }) => {
    const joined = await join(await createJob(), { gpu_model: A100, gpu_count: null });
    expect(joined.body.gpu_models).toEqual([{ model: A100, count: null }]);
    const none = await join(await createJob(), { gpu_model: null, gpu_count: 0 });
    expect(none.body.gpu_models).toEqual([]);
  });
});

test("MIG slices are unrated with their profile, also by a pinned value, and count in no fleet", async ({
  expect,
}) => {
  const gpu_model = "NVIDIA A100-SXM4-40GB MIG 1g.5gb";
  const own = machineUuid();
  const results = { aggregate_results: { bf16_tflops: 70, memory_bandwidth_gbs: 380 } };
  const slices = { gpu_model, gpu_count: 2, machine_uuid: own, results };
  const owner = await createPerson();
  const node = await nodeOf(await measureJob([slices], owner));
  expect(node).toMatchObject({ status: "unrated", gpu_model });
  expect(node.metrics[0]).toMatchObject({ value: 35, reason: "MIG slices are not rated" });
  const { token } = await createPerson({ role: "root_admin" });
  await call("PUT", `/baselines/${encodeURIComponent(gpu_model)}/bf16_tflops`, {
    token,
    body: { value: 100 },
  });
  expect((await nodeOf(await measureJob([slices], owner))).status).toBe("unrated");
  expect(await countOf(machineFigures, eq(machineFigures.machineUuid, own))).toBe(0);
  const impossible = { aggregate_results: { bf16_tflops: 4_000, memory_bandwidth_gbs: 380 } };
  const beyond = await nodeOf(await measureJob([{ ...slices, results: impossible }], owner));
  expect(beyond.metrics[0].reason, "a slice is no more than its GPU").toContain("cannot be true");
});

async function exported(job: TestJob) {
  const { token } = job.owner;
  const headers = { accept: "application/x-ndjson" };
  const { text } = await call("GET", `/tasks?job_id=${job.id}`, { token, headers });
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("fewer GPUs than in the machine's last job", () => {
  const machine = (gpus: number | null, machine_uuid: string) => ({
    gpu_model: A100,
    gpu_count: gpus,
    machine_uuid,
    results: {
      aggregate_results: {
        bf16_tflops: 265.2 * (gpus ?? 8),
        memory_bandwidth_gbs: 1_740 * (gpus ?? 8),
      },
    },
  });
  const dropsOf = async (job: TestJob) => (await nodeOf(job)).drops;

  test("8, 7, then 4 GPUs: each loss is a drop, and the figures per GPU stay as expected", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const own = machineUuid();
    expect(await dropsOf(await measureJob([machine(8, own)], owner))).toEqual([]);
    const seven = await measureJob([machine(7, own)], owner);
    expect(await nodeOf(seven)).toMatchObject({
      status: "expected",
      drops: [
        {
          metric: "gpu_count",
          gpu_model: A100,
          value: 7,
          previous_value: 8,
          ratio: 0.875,
          previous_at: expect.stringMatching(/Z$/),
          message: "8 GPUs before, 7 now",
        },
      ],
    });
    expect(await exported(seven)).toMatchObject([{ drops: "8 GPUs before, 7 now" }]);
    const four = await measureJob([machine(4, own)], owner);
    expect(await dropsOf(four)).toMatchObject([{ message: "7 GPUs before, 4 now" }]);
    expect(await dropsOf(await measureJob([machine(4, own)], owner)), "as before").toEqual([]);
    expect(await dropsOf(await measureJob([machine(8, own)], owner)), "more").toEqual([]);
  });

  test("also where the last job could not tell its GPUs, failed, or had another model", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const own = machineUuid();
    await measureJob([machine(8, own)], owner);
    await measureJob([machine(null, own)], owner);
    expect(await dropsOf(await measureJob([machine(7, own)], owner))).toMatchObject([
      { message: "8 GPUs before, 7 now" },
    ]);
    const failed = await createJob({}, owner);
    const { id } = (await join(failed, { ...machine(6, own), results: undefined })).body;
    const failure = { ...resultBody(null), state: "failed", error_message: "ECC error" };
    await putResult(failed, id, 0, failure);
    await rated(failed);
    const other = { ...machine(2, own), gpu_model: "NVIDIA L4" };
    expect(await dropsOf(await measureJob([other], owner))).toMatchObject([
      { message: "6 GPUs before, 2 now" },
    ]);
  });

  test("none at all is a drop, too; a node without an answer says so itself", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const own = machineUuid();
    await measureJob([machine(8, own)], owner);
    const none = await nodeOf(await measureJob([{ ...machine(0, own), gpu_model: null }], owner));
    expect(none).toMatchObject({ status: "unrated", drops: [{ message: "8 GPUs before, 0 now" }] });
    const unknown = await nodeOf(await measureJob([machine(null, own)], owner));
    expect(unknown.status).toBe("unrated");
    expect(unknown.metrics[0].reason).toContain("did not say how many GPUs");
  });

  test("other people's jobs, and jobs without an account, are not used", async ({ expect }) => {
    const own = machineUuid();
    await measureJob([machine(8, own)]);
    expect(await dropsOf(await measureJob([machine(7, own)]))).toEqual([]);
  });

  test("a job that is rated again keeps its drop", async ({ expect }) => {
    const owner = await createPerson();
    const own = machineUuid();
    const model = (gpus: number) => ({ ...machine(gpus, own), gpu_model: "again-1" });
    await measureJob([model(8)], owner);
    const job = await measureJob([model(7)], owner);
    await measureJob([model(2)], owner);
    const { token } = await createPerson({ role: "root_admin" });
    await call("PUT", "/baselines/again-1/bf16_tflops", { token, body: { value: 265 } });
    await cron();
    expect(await nodeOf(job)).toMatchObject({
      status: "expected",
      drops: [{ message: "8 GPUs before, 7 now" }],
    });
  });

  test("a runner is compared with its own last job, whoever owned it, without that job's time", async ({
    expect,
  }) => {
    const spec = await createSpec();
    const runner = await createRunner([spec]);
    let runs = 0;
    const run = async (gpus: number) => {
      const job = await createJob({ spec: spec.uuid });
      const { results, machine_uuid: _, ...facts } = machine(gpus, "");
      const claimed = claimedBy(await later(++runs * 5_000, () => claim(runner, facts)));
      expect(claimed.id).toBe(job.id);
      const path = `/jobs/current/tasks/${claimed.task.id}/results/0`;
      const headers = { "assay-task-token": claimed.taskToken ?? "" };
      const sent = { token: claimed.token, body: resultBody(results), headers };
      expect((await call("PUT", path, sent)).status).toBe(200);
      await rated(job);
      return job;
    };
    await run(8);
    // Whoever knows the runner's UUID cannot change what it is compared with.
    await measureJob([machine(64, runner.uuid)]);
    expect(await dropsOf(await run(7))).toMatchObject([
      { message: "8 GPUs before, 7 now", previous_at: null },
    ]);
  });
});
