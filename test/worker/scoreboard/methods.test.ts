/** Like with like: classes of methods in verdicts, fleets and pins; what is never rated, and recordings on request. */
import { env } from "cloudflare:workers";
import { and, eq } from "drizzle-orm";
import { describe, test } from "vitest";
import twoA100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { customerFleets, machineFigures } from "../../../src/db/schema/scoreboard.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { rateSettledJob } from "../../../src/scoreboard/rating.ts";
import { recomputeBaselines, rerate } from "../../../src/scoreboard/upkeep.ts";
import {
  call,
  detail,
  expectError,
  join,
  machineUuid,
  putResult,
  resultBody,
} from "../harness/client.ts";
import {
  createJob,
  createPerson,
  type Measured,
  measureJob,
  type Person,
} from "../harness/factories.ts";
import { ownD1, rated, reported } from "../harness/instruments.ts";
import { db, jobRow } from "../harness/rows.ts";

const d1 = openDatabase(ownD1(), createMeter());
const { rating } = readConfig(env);
const cron = async () => {
  await recomputeBaselines(d1, Date.now(), rating);
  return rerate(d1, Date.now(), 100, rating);
};
await cron();

let serial = 0;
/** A GPU that no other test has. */
const newModel = () => `Method GPU ${++serial}X`;
const slugOf = (model: string) => model.toLowerCase().replaceAll(" ", "-").replace("gpu-", "");

const LIBRARY = "gemm.cublaslt.4096.nn.normal/1";
const OWN = "gemm.ptx.4096.nt.normal/1";
const COPY = "copy.ptx.4gib/1";

interface Making {
  gemm?: string;
  copy?: string;
  over?: object;
  sent?: object;
  bf16?: number;
  memory?: number;
  uuid?: string;
}

/** A machine with one GPU whose agent has measured it by these methods. */
function measured(gpu_model: string, making: Making = {}): Measured {
  const { gemm = LIBRARY, copy = COPY, over = {}, sent = {}, bf16 = 250, memory = 1_700 } = making;
  return {
    gpu_model,
    gpu_count: 1,
    machine_uuid: making.uuid ?? machineUuid(),
    results: {
      aggregate_results: { bf16_tflops: bf16, memory_bandwidth_gbs: memory },
      measurement: {
        version: 1,
        methods: { bf16_tflops: gemm, memory_bandwidth_gbs: copy },
        ...over,
      },
      ...sent,
    },
  };
}

const nodeOf = async (job: Parameters<typeof detail>[0]) =>
  (await detail(job)).body.scoreboard_summary.nodes[0];
const rate = async (machine: Measured, owner?: Person) =>
  nodeOf(await measureJob([machine], owner));

describe("a figure of another class than the baseline", () => {
  test("is unrated, names both, and carries the other figure as a reference", async ({
    expect,
  }) => {
    const node = await rate(measured("NVIDIA A100-SXM4-80GB"));
    expect(node).toMatchObject({ status: "unrated", replayed: false, findings: [] });
    expect(node.metrics[0]).toMatchObject({
      status: "unrated",
      class: "library-gemm",
      value: 250,
      baseline: null,
      ratio: null,
      reason: "measured with library-gemm, but the baseline is for quickmark",
      reference: {
        value: 265.2,
        ratio: 0.942685,
        of: "shipped",
        note: "another method; not a verdict",
      },
    });
    expect(node.metrics[1]).toMatchObject({
      class: "copy",
      reason: "measured with copy, but the baseline is for quickmark",
      reference: { value: 1_740, of: "shipped" },
    });
  });

  test("without a recorded run has the data sheet beside it", async ({ expect }) => {
    const node = await rate(measured("NVIDIA H200", { gemm: OWN, bf16: 500 }));
    expect(node.metrics[0]).toMatchObject({
      status: "unrated",
      class: "mma-gemm",
      reason: "there is no baseline for this GPU model yet",
      reference: { value: 989, of: "data_sheet" },
    });
    expect((await rate(measured(newModel()))).metrics[0]).toMatchObject({ reference: null });
  });

  test("of a method that the server does not know is never rated, not even by a pin", async ({
    expect,
  }) => {
    const node = await rate(measured("NVIDIA A100-SXM4-80GB", { gemm: "gemm.new.8192/1" }));
    expect(node.metrics[0]).toMatchObject({
      status: "unrated",
      class: "unknown",
      reason: "measured with unknown, but the baseline is for quickmark",
    });
    expect(
      await db.select().from(machineFigures).where(eq(machineFigures.class, "unknown")),
    ).toEqual([]);
  });

  test("says when it had not settled, whatever its verdict is", async ({ expect }) => {
    const over = { quality: { bf16_tflops: { settled: false, spread: 0.08 } } };
    const { metrics } = await rate(measured("NVIDIA A100-SXM4-80GB", { over }));
    expect(metrics[0].reason).toBe(
      "measured with library-gemm, but the baseline is for quickmark: the figure had not settled when its time was up",
    );
    expect(metrics[1].reason).not.toContain("settled");
  });
});

describe("fleets and pins", () => {
  test("a fleet is of one class: its medians rate that class alone", async ({ expect }) => {
    const model = newModel();
    const owner = await createPerson();
    const fleet = (gemm: string, bf16: number) =>
      measureJob(
        Array.from({ length: 30 }, () => measured(model, { gemm, bf16, memory: 2_000 })),
        owner,
      );
    await fleet(LIBRARY, 700);
    await fleet(OWN, 450);
    await cron();
    const slow = await rate(measured(model, { bf16: 500, memory: 2_000 }), owner);
    expect(slow.metrics[0]).toMatchObject({
      status: "underperforming",
      class: "library-gemm",
      source: "own_fleet",
      baseline: 700,
      sample_size: 30,
    });
    const fast = await rate(measured(model, { gemm: OWN, bf16: 500, memory: 2_000 }), owner);
    expect(fast.metrics[0]).toMatchObject({ status: "outperforming", baseline: 450 });
    expect(fast.metrics[1], "one copy, whichever engine multiplies").toMatchObject({
      status: "expected",
      class: "copy",
      baseline: 2_000,
      sample_size: 60,
    });
    const plain = {
      ...measured(model),
      results: { aggregate_results: { bf16_tflops: 500, memory_bandwidth_gbs: 2_000 } },
    };
    expect((await rate(plain, owner)).metrics[0]).toMatchObject({
      class: "quickmark",
      baseline: null,
    });
    const rows = await db
      .select()
      .from(customerFleets)
      .where(eq(customerFleets.model, slugOf(model)));
    expect(
      rows.map((row) => [row.class, row.machines, row.bf16Median, row.memoryMedian]).sort(),
    ).toEqual([
      ["copy", 62, null, 2_000],
      ["library-gemm", 31, 700, null],
      ["mma-gemm", 31, 450, null],
      ["quickmark", 1, null, null],
    ]);
  });

  test("a value is pinned for a class, and rates nothing else", async ({ expect }) => {
    const model = newModel();
    const { token } = await createPerson({ role: "root_admin" });
    const job = await measureJob([measured(model, { bf16: 100 })]);
    const path = `/baselines/${encodeURIComponent(model)}/bf16_tflops`;
    const of = (name: string) => `${path}?class=${name}`;
    await call("PUT", of("mma-gemm"), { token, body: { value: 50 } });
    await cron();
    expect((await nodeOf(job)).metrics[0]).toMatchObject({
      status: "unrated",
      reason: "measured with library-gemm, but the baseline is for mma-gemm",
    });
    const pinned = await call("PUT", of("library-gemm"), { token, body: { value: 200 } });
    expect(pinned.body).toMatchObject({ class: "library-gemm", value: 200, source: "pinned" });
    await cron();
    expect((await nodeOf(job)).metrics[0]).toMatchObject({
      status: "underperforming",
      baseline: 200,
      reference: null,
    });
    expect((await call("GET", of("mma-gemm"), { token })).body).toMatchObject({ value: 50 });
    expectError(expect, await call("GET", path, { token }), 404, "RESOURCE_NOT_FOUND");
    const { body } = await call("GET", "/baselines", { token });
    const listed = body.baselines.filter((each: { model: string }) => each.model === slugOf(model));
    expect(
      listed.map((each: { class: string; value: number }) => [each.class, each.value]),
    ).toEqual([
      ["library-gemm", 200],
      ["mma-gemm", 50],
    ]);
    expect((await call("DELETE", of("library-gemm"), { token })).status).toBe(204);
    expect((await call("GET", of("mma-gemm"), { token })).status).toBe(200);
    const wrong = await call("PUT", of("copy"), { token, body: { value: 1 } });
    expectError(
      expect,
      wrong,
      400,
      "PARAMETER_INCORRECT_VALUE",
      "class must be one of quickmark, library-gemm, mma-gemm, torch-gemm for bf16_tflops",
    );
    expect((await call("GET", of("unknown"), { token })).body.error.details[0].field).toBe("class");
  });
});

describe("a drop", () => {
  test("is of equal methods alone, and looks behind what was withheld", async ({ expect }) => {
    const owner = await createPerson();
    const [model, uuid] = [newModel(), machineUuid()];
    const run = (making: Making) => rate(measured(model, { uuid, ...making }), owner);
    await run({ bf16: 700 });
    expect((await run({ gemm: OWN, bf16: 400 })).drops, "another engine").toEqual([]);
    const back = await run({ bf16: 400 });
    expect(back.drops, "the job before was another engine's").toEqual([]);
    await run({ bf16: 390, over: { conditions: { busy: true } } });
    const fallen = await run({ bf16: 300 });
    expect(fallen.drops).toMatchObject([{ metric: "bf16_tflops", previous_value: 400 }]);
    expect(fallen.findings).toMatchObject([{ kind: "drop", value: 300, expected: 400, rank: 0 }]);
    expect((await run({ gemm: "gemm.cublaslt.4096.nn.normal/2", bf16: 100 })).drops).toEqual([]);
  });
});

describe("never rated and never counted", () => {
  const counted = (uuid = "") =>
    db.select().from(machineFigures).where(eq(machineFigures.machineUuid, uuid));

  test.for<[string, Making, string]>([
    ["recordings", { sent: { replayed: true } }, "REPLAYED: a recording, not measured in this job"],
    [
      "what was measured beside other work",
      { over: { conditions: { busy: true } } },
      "measured while the GPUs were busy with other work",
    ],
    [
      "failed checks",
      { over: { checks: { gemm_repeatable: false } } },
      "the GPUs computed wrongly: their matrix products failed a check",
    ],
    [
      "rates by a clock that the host's contradicts",
      {
        over: {
          faults: [{ metric: "bf16_tflops", gpu: 0, code: "clock_disagrees", message: "m" }],
        },
      },
      "the clocks of the GPUs and of the host disagreed",
    ],
  ])("%s", async ([, making, reason], { expect }) => {
    for (const sent of [{}, { measurement: undefined }]) {
      if ("measurement" in sent && making.over !== undefined) continue;
      const machine = measured("NVIDIA A100-SXM4-80GB", {
        ...making,
        sent: { ...making.sent, ...sent },
      });
      const node = await rate(machine);
      expect(node).toMatchObject({ status: "unrated", replayed: making.sent !== undefined });
      expect(node.metrics.slice(0, 2)).toMatchObject([
        { status: "unrated", reason, baseline: null, reference: null },
        { status: "unrated", reason, baseline: null, reference: null },
      ]);
      expect(node.metrics[0].value, "but shown").toBe(250);
      expect(await counted(machine.machine_uuid)).toEqual([]);
    }
  });

  test("what was left of a measurement that ended early", async ({ expect }) => {
    const job = await createJob();
    const machine_uuid = machineUuid();
    const gpus = { gpu_model: "NVIDIA A100-SXM4-80GB", gpu_count: 1 };
    const { id } = (await join(job, { ...gpus, machine_uuid })).body;
    const { results } = measured(gpus.gpu_model, {
      over: { partial: true, checks: { gemm_repeatable: false } },
    });
    const body = { ...resultBody(results), state: "failed", error_message: "CUDA error 214" };
    expect((await putResult(job, id, 0, body)).status).toBe(200);
    await rated(job);
    const node = await nodeOf(job);
    expect(node).toMatchObject({ status: "unrated", findings: [{ kind: "health" }] });
    expect(node.metrics[0]).toMatchObject({ value: null, reason: "QuickMark did not complete" });
    expect(await counted(machine_uuid)).toEqual([]);
  });

  test("a recording says nothing of the machine: no finding, no straggler, no lost GPU", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    const replay = (gpus: number): Measured => ({
      gpu_model: "NVIDIA A100-SXM4-80GB",
      gpu_count: gpus,
      machine_uuid: uuid,
      results: {
        replayed: true,
        aggregate_results: { bf16_tflops: 2_000, memory_bandwidth_gbs: 90_000 },
        test_results: Array.from({ length: gpus }, (_, at) => ({ bf16_tflops: 100 * (at + 1) })),
      },
    });
    expect(await rate(replay(8), owner)).toMatchObject({ findings: [], stragglers: [], drops: [] });
    const own = { ...measured("NVIDIA A100-SXM4-80GB", { uuid }), gpu_count: 1 };
    expect((await rate(own, owner)).findings, "its 8 GPUs were another machine's").toEqual([]);
  });
});

describe("RATE_REPLAYS", () => {
  const SETTINGS = { ...env, TOKEN_SECRET: "0123456789abcdefghijklmnopqrstuv" };
  const ratesReplays = (settings: object) =>
    readConfig({ ...SETTINGS, ...settings }).rating.rateReplays;

  test.for([
    [{ ENVIRONMENT: "development", RATE_REPLAYS: "true" }, true],
    [{ ENVIRONMENT: "production", RATE_REPLAYS: "true" }, false],
    [{ ENVIRONMENT: undefined, RATE_REPLAYS: "true" }, false],
    [{ ENVIRONMENT: "development", RATE_REPLAYS: "false" }, false],
    [{ ENVIRONMENT: "development", RATE_REPLAYS: "" }, false],
    [{ ENVIRONMENT: "development" }, false],
  ] as const)("%j: %s", ([settings, is], { expect }) => {
    expect(ratesReplays(settings)).toBe(is);
  });

  test("anything else is refused by name", ({ expect }) => {
    expect(() => ratesReplays({ RATE_REPLAYS: "yes" })).toThrow(
      /^RATE_REPLAYS must be true or false/,
    );
  });

  test("every verdict made so says REPLAYED, and still counts nowhere", async ({ expect }) => {
    const person = await createPerson();
    const slow = {
      ...twoA100.results,
      aggregate_results: { ...twoA100.results.aggregate_results, bf16_tflops: 300 },
    };
    const recorded = (results: object) => ({ ...twoA100, results: { ...results, replayed: true } });
    const job = await measureJob([recorded(twoA100.results), recorded(slow)], person);
    await reported(job);
    await rateSettledJob(d1, Number(job.id), Date.now(), { ...rating, rateReplays: true });
    const { scoreboard_summary: summary } = (await detail(job)).body;
    expect(summary).toMatchObject({ status: "underperforming", replayed: true, rated_nodes: 2 });
    const reasons = summary.nodes.map(
      (node: { metrics: { reason: string }[] }) => node.metrics[0]?.reason,
    );
    expect(reasons).toEqual([
      "REPLAYED",
      expect.stringMatching(/^REPLAYED: 56.6 % of the shipped baseline: below 90 %$/),
    ]);
    expect(summary.metrics[0].reason).toMatch(/^node 1 is the lowest of 2 rated: REPLAYED: /);
    const { token } = person;
    const { body } = await call("GET", `/tasks?job_id=${job.id}&sort_order=asc`, { token });
    expect(body.data).toMatchObject([
      { performance_status: "expected", replayed: true },
      { performance_status: "underperforming", replayed: true },
    ]);
    const csv = await call("GET", `/tasks?job_id=${job.id}`, {
      token,
      headers: { accept: "text/csv" },
    });
    const [head = "", ...lines] = csv.text.trimEnd().split("\r\n");
    const at = head.split(",").indexOf("replayed");
    // Quoted cells hold commas.
    const cells = (line: string): string[] =>
      line.match(/(?<=^|,)(?:"(?:[^"]|"")*"|[^,"]*)(?=,|$)/g) ?? [];
    expect(lines.map((line) => cells(line)[at])).toEqual(["REPLAYED", "REPLAYED"]);
    const rows = await db
      .select()
      .from(machineFigures)
      .where(and(eq(machineFigures.customerId, person.customerId)));
    expect(rows).toEqual([]);
    expect((await jobRow(job)).performanceStatus).toBe("underperforming");
  });
});
