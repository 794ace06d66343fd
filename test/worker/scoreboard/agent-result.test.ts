/** From the agent to the verdict: results as the agent's measurement makes them on a fake driver, through the server. */
import { describe, test } from "vitest";
import { gemmMethod } from "../../../agent/src/gpu/methods.ts";
import { SIZES } from "../../../agent/src/gpu/plan.ts";
import { FACTS, measure, SMALL, telemetryOf } from "../../agent/gpu/runs.ts";
import { detail, join, putResult, resultBody } from "../harness/client.ts";
import { createJob, measureJob } from "../harness/factories.ts";
import { rated } from "../harness/instruments.ts";

const A100 = "NVIDIA A100-SXM4-80GB";
/** One GPU multiplies at 10 TFLOPS, the other at 8. */
const launchMs = (kernel: string, gpu: number) => {
  if (kernel.startsWith("gemm")) return (2 * SMALL.gemm ** 3) / 1e9 / (gpu === 1 ? 8 : 10);
  return kernel === "empty" ? 0.003 : 1;
};

/**
 * The emulator multiplies small matrices, whose method has another name than that of the full size: to be rated as a
 * release's figures are, the names are put in their place.
 */
function ofFullSize(results: object): object {
  const text = JSON.stringify(results)
    .replaceAll(gemmMethod("ptx", SMALL.gemm), gemmMethod("ptx", SIZES.gemm))
    .replaceAll(/"copy\.ptx\.[^"]*"/g, '"copy.ptx.4gib/1"');
  return JSON.parse(text);
}

const node = (results: object, gpu_count = 2) => ({ gpu_model: A100, gpu_count, results });
const summaryOf = async (job: Parameters<typeof detail>[0]) =>
  (await detail(job)).body.scoreboard_summary;

describe("a result of the agent", () => {
  const ran = measure({ gpus: 2, launchMs }, { telemetry: telemetryOf() });

  test("is stored as it was sent, and unrated by a baseline of another method", async ({
    expect,
  }) => {
    const job = await measureJob([node(ofFullSize(ran.results))]);
    const { body } = await detail(job);
    const { results } = body.tasks[0].benchmark_results.quick_mark;
    expect(results.measurement.methods.bf16_tflops).toBe("gemm.ptx.4096.nt.normal/1");
    expect(results.measurement.conditions.facts).toHaveLength(2);
    const { nodes, ...summary } = body.scoreboard_summary;
    expect(summary).toMatchObject({ status: "unrated", replayed: false });
    expect(nodes[0].metrics[0]).toMatchObject({
      class: "mma-gemm",
      value: 9,
      status: "unrated",
      reason: "measured with mma-gemm, but the baseline is for quickmark",
      reference: { value: 265.2, ratio: 0.033937, of: "shipped" },
    });
    expect(nodes[0].metrics[1]).toMatchObject({ class: "copy" });
    expect(summary.findings).toMatchObject([
      { kind: "gpu_straggler", metric: "bf16_tflops", gpu: 1, value: 8, expected: 9 },
    ]);
  });

  test("of sizes that no release has is of an unknown class", async ({ expect }) => {
    const { nodes } = await summaryOf(await measureJob([node(ran.results)]));
    expect(nodes[0].metrics[0]).toMatchObject({ class: "unknown", status: "unrated" });
  });

  test("tells of the machine's health from the agent's own telemetry", async ({ expect }) => {
    const telemetry = telemetryOf({
      facts: () => ({ ...FACTS, power_limit_watts: 300, uncorrected_ecc_errors: 2 }),
      sample: () => ({
        watts: 290,
        celsius: 88,
        smMhz: 1_200,
        memoryMhz: 1_593,
        pcieGeneration: 4,
        pcieWidth: 8,
        throttle: ["hw_thermal"],
      }),
    });
    const { results } = measure({ launchMs }, { telemetry });
    const { findings } = await summaryOf(await measureJob([node(ofFullSize(results), 1)]));
    const health = findings.map(({ kind, gpu, metric }: Record<string, unknown>) => [
      kind,
      gpu,
      metric,
    ]);
    expect(health).toEqual(
      ["uncorrected_ecc_errors", "power_limit_watts", "pcie_width", "throttle"].map((metric) => [
        "health",
        0,
        metric,
      ]),
    );
  });

  test("with silent corruption is never rated, and the GPU is named", async ({ expect }) => {
    const corrupt = { gpu: 1, kernel: "gemm_bf16", launch: 40 };
    const { results } = measure({ gpus: 2, launchMs: () => 10, corrupt });
    const { nodes, findings } = await summaryOf(await measureJob([node(ofFullSize(results))]));
    expect(nodes[0].metrics[0].reason).toBe(
      "the GPUs computed wrongly: their matrix products failed a check",
    );
    expect(findings[0]).toMatchObject({
      kind: "health",
      gpu: 1,
      metric: "bf16_tflops",
      message: expect.stringMatching(/^GPU 1: computes wrong results .*silent corruption/),
    });
  });

  test("of a busy machine is shown, and compared with nothing", async ({ expect }) => {
    const telemetry = telemetryOf({ processes: () => [{ pid: 7, bytes: 2 ** 33 }] });
    const { results } = measure({ gpus: 2, launchMs }, { telemetry, busyOk: true });
    const { nodes, findings } = await summaryOf(await measureJob([node(ofFullSize(results))]));
    expect(nodes[0].metrics[0]).toMatchObject({
      value: 9,
      reason: "measured while the GPUs were busy with other work",
    });
    expect(findings).toEqual([]);
  });

  test("of a run that broke off keeps its figures, and says what happened", async ({ expect }) => {
    const fail = { call: "waitFor", nth: 110, code: 214 };
    const { end, results } = measure({ gpus: 2, launchMs, fail }, { telemetry: telemetryOf() });
    expect(end).toMatchObject({ type: "failure", code: "gpu_failed" });
    const job = await createJob();
    const { id } = (await join(job, { gpu_model: A100, gpu_count: 2 })).body;
    const error_message = end?.type === "failure" ? end.message : "";
    const body = { ...resultBody(results), state: "failed", error_message };
    const reply = await putResult(job, id, 0, body);
    expect(reply.status, reply.text).toBe(200);
    await rated(job);
    const { tasks, scoreboard_summary: summary } = (await detail(job)).body;
    const sent = tasks[0].benchmark_results.quick_mark.results;
    expect(sent.measurement.partial).toBe(true);
    expect(sent.aggregate_results.bf16_tflops).toBe(18);
    expect(summary).toMatchObject({ status: "unrated", rated_nodes: 0 });
    expect(summary.findings).toMatchObject([
      { kind: "health", metric: "memory_bandwidth_gbs" },
      { kind: "gpu_straggler", gpu: 1 },
    ]);
  });
});
