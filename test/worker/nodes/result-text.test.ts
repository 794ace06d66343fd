/** The path of a result: one parse, and the text that came is stored, projected and shown. */
import { runInDurableObject } from "cloudflare:test";
import { describe, onTestFinished, test, vi } from "vitest";
import { call, detail, expectError, join, putResult } from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import { coordinatorOf, flushed } from "../harness/instruments.ts";
import { storedTexts } from "../harness/rows.ts";

const BF16 = 452.25;

/** Figures in today's form, as an agent may spell them. */
const SPELLED = `{ "aggregate_results" : {"memory_bandwidth_gbs": 1.0e3,\t"bf16_tflops":452.250 },
  "note": "caf\\u00e9 \\"{,:}\\" 100 %", "counts": [1.0, 1e2, -0, 0.1234567890123456789], "e": {}, "é": "é" }`;

function bodyOf(results: string, endedAt = "2026-01-01T00:05:00Z"): string {
  return ` {"state":"completed", "results":\n ${results} ,"started_at":"2026-01-01T00:00:00Z","ended_at":"${endedAt}"}`;
}

async function joined(): Promise<{ job: TestJob; taskId: string }> {
  const job = await createJob({ node_count: 2 });
  return { job, taskId: (await join(job)).body.id };
}

/** The stored text: in the object, and in R2 once the job has ended. */
async function storedIn(job: TestJob): Promise<{ object: string; r2: string | undefined }> {
  await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  await flushed(job);
  const bytes = await runInDurableObject(
    coordinatorOf(job),
    (_object, { storage }) =>
      storage.sql.exec<{ results: ArrayBuffer }>("SELECT results FROM result").one().results,
  );
  const [stored] = await storedTexts(job);
  return { object: new TextDecoder().decode(bytes), r2: stored?.text };
}

test("its text is parsed once and never written anew, of whatever spelling", async ({ expect }) => {
  const { job, taskId } = await joined();
  await flushed(job);
  const isResult = (text: unknown) => typeof text === "string" && text.includes("caf\\u00e9");
  const parse = vi.spyOn(JSON, "parse");
  const stringify = vi.spyOn(JSON, "stringify");
  onTestFinished(() => void vi.restoreAllMocks());
  expect((await putResult(job, taskId, 0, bodyOf(SPELLED))).status).toBe(200);
  const parsed = parse.mock.calls.filter(([text]) => isResult(text));
  const written = stringify.mock.results.filter(
    ({ value }) => typeof value === "string" && value.includes("café"),
  );
  vi.restoreAllMocks();
  expect(parsed).toHaveLength(1);
  // The canonical form that is hashed.
  expect(written).toHaveLength(1);
});

test("is stored, projected and shown unchanged", async ({ expect }) => {
  const { job, taskId } = await joined();
  expect((await putResult(job, taskId, 0, bodyOf(SPELLED))).status).toBe(200);
  const live = await detail(job);
  expect(live.text).toContain(SPELLED);
  expect(live.body.tasks[0].benchmark_results.quick_mark.results).toEqual(JSON.parse(SPELLED));
  expect(live.body.quickmark_aggregate_results.metrics.bf16_tflops.total).toBe(BF16);
  expect(await storedIn(job)).toEqual({ object: SPELLED, r2: SPELLED });
  const { text } = await call("GET", `/tasks/${taskId}/results`, { token: job.owner.token });
  expect(text).toContain(SPELLED);
});

test("a number that is longer written out stays unchanged", async ({ expect }) => {
  const { job, taskId } = await joined();
  const large = SPELLED.replace("1e2", "1e20, 1.8446744073709552e19");
  expect((await putResult(job, taskId, 0, bodyOf(large))).status).toBe(200);
  expect(await storedIn(job)).toEqual({ object: large, r2: large });
});

describe("is normalised, once", () => {
  const figures = { bf16_tflops: BF16, memory_bandwidth_gbs: 1000 };
  test.for([
    [
      "older names",
      '{"aggregate_results":{"total_bf16_tflops": 452.25, "memory_bandwidth_gbs":1e3}}',
      { aggregate_results: figures },
    ],
    [
      "one GPU alone",
      '{"test_results":[ {"bf16_tflops": 452.25, "memory_bandwidth_gbs":1e3} ]}',
      { aggregate_results: figures, test_results: [figures] },
    ],
    [
      "a repeated key: the last one wins",
      '{"aggregate_results":{"bf16_tflops":1,"memory_bandwidth_gbs":1e3,"bf16_tflops":452.25}}',
      { aggregate_results: figures },
    ],
    [
      "a key repeated deep in what agents add",
      '{"aggregate_results":{"bf16_tflops":452.25,"memory_bandwidth_gbs":1e3},"x":[{"a":1,"a":2}]}',
      { aggregate_results: figures, x: [{ a: 2 }] },
    ],
    [
      "a list of GPU pairs",
      '{"aggregate_results":{"bf16_tflops":452.25,"memory_bandwidth_gbs":1e3,"gpu_bandwidth_matrix":[{"source_gpu":0,"target_gpu":1,"duplex_gbs":5}]}}',
      {
        aggregate_results: {
          ...figures,
          gpu_bandwidth_matrix: { gpu0_to_gpu1: { duplex_gbs: 5 } },
        },
      },
    ],
  ] as const)("%s", async ([, sent, normal], { expect }) => {
    const { job, taskId } = await joined();
    expect((await putResult(job, taskId, 0, bodyOf(sent))).status).toBe(200);
    const { object, r2 } = await storedIn(job);
    expect(r2).toBe(object);
    expect(JSON.parse(String(r2))).toEqual(normal);
    expect(r2, "without white space").toBe(JSON.stringify(JSON.parse(String(r2))));
    expect((await detail(job)).text).toContain(object);
  });
});

test("repeated in the body: the last results are stored as they came", async ({ expect }) => {
  const { job, taskId } = await joined();
  const body = bodyOf(SPELLED).replace("{", '{"results": {"a": 1, "a": 2}, "state": "failed",');
  expect((await putResult(job, taskId, 0, body)).body.state).toBe("completed");
  expect((await storedIn(job)).object).toBe(SPELLED);
});

test("another spelling of the body is the same body; another value is not", async ({ expect }) => {
  const { job, taskId } = await joined();
  const first = await putResult(job, taskId, 0, bodyOf(SPELLED));
  const value = JSON.parse(bodyOf(SPELLED));
  const reversed = Object.fromEntries(Object.entries(value).reverse());
  for (const same of [value, reversed, JSON.stringify(value, null, 3)]) {
    const again = await putResult(job, taskId, 0, same);
    expect([again.status, again.text]).toEqual([200, first.text]);
  }
  for (const other of [
    bodyOf(SPELLED.replace("452.250", "452.251")),
    bodyOf(SPELLED.replace('"e": {}', '"e": []')),
    bodyOf(SPELLED, "2026-01-01T00:05:01Z"),
  ]) {
    expectError(expect, await putResult(job, taskId, 0, other), 422, "IDEMPOTENCY_KEY_REUSED");
  }
  expect((await storedIn(job)).object).toBe(SPELLED);
});
