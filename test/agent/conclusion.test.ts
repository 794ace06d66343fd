/** The end of a job for one node: the agent waits a moment for its verdict, and says it to people. */
import { describe, expect, test } from "vitest";
import type { ApiClient } from "../../agent/src/api-client.ts";
import type { Clock } from "../../agent/src/clock.ts";
import { type Conclusion, conclude } from "../../agent/src/conclusion.ts";
import { describeFigures } from "../../agent/src/figures-text.ts";
import { type JobView, type Outcome, parseJobView } from "../../agent/src/protocol.ts";
import type { Session } from "../../agent/src/session.ts";
import { describeConclusion } from "../../agent/src/verdict-text.ts";

const PERFORMANCE = {
  status: "underperforming",
  replayed: false,
  metrics: [
    {
      metric: "bf16_tflops",
      value: 452.2,
      baseline: 775.6,
      ratio: 0.583,
      source: "own_fleet",
      sample_size: 4,
      status: "underperforming",
      reason: "58.3 % of the baseline: below 90 %",
    },
    {
      metric: "memory_bandwidth_gbs",
      value: 3254.42,
      baseline: null,
      ratio: null,
      source: null,
      sample_size: null,
      status: "unrated",
      reason: "no baseline for this model",
    },
    { metric: "l2_bandwidth_gbs", value: 700, status: "unrated" },
  ],
};
const UNRATED = { performance: null, findings: null, spec_check: null };

const body = (changes: Record<string, unknown> = {}) => ({
  id: "7554621440",
  state: "completed",
  directive: "stop",
  node_count: 2,
  unfinished_nodes: 0,
  benchmark_sequence: [{ benchmark_id: "quick_mark", config: null }],
  task: { id: "7554621441", rank: 0, state: "completed" },
  poll_after_seconds: 50,
  ...UNRATED,
  ...changes,
});
const RATED = { performance: PERFORMANCE, findings: [{ kind: "drop", message: "7 GPUs now" }] };
const viewOf = (changes: Record<string, unknown> = {}): JobView => {
  const view = parseJobView(body(changes));
  if (view === null) throw new Error("not a view");
  return view;
};

/** What `conclude` makes of replies, one for each request; the last one again and again. */
async function concluded(view: JobView | null, replies: readonly (object | "lost")[]) {
  let elapsed = 0;
  let requests = 0;
  const client = {
    request: async (_request: unknown, deadline: number) => {
      const reply = replies[Math.min(requests, replies.length - 1)];
      requests++;
      if (reply !== "lost") return { kind: "accepted", status: 200, body: reply };
      elapsed = deadline;
      return { kind: "unavailable", message: "no answer" };
    },
  } as unknown as ApiClient; // the one call under test
  const clock = {
    elapsed: () => elapsed,
    sleep: async (ms: number) => {
      elapsed += ms;
    },
  } as unknown as Clock; // as above
  const session = { own: () => ({ id: "7554621441", token: "t" }) } as unknown as Session; // as above
  const { signal } = new AbortController();
  const conclusion = await conclude({ client, clock, signal }, session, view);
  return { conclusion, elapsed, requests };
}

describe("waiting for the verdict", () => {
  test("a view that has it needs no request", async () => {
    const { conclusion, requests } = await concluded(viewOf(RATED), []);
    expect(requests).toBe(0);
    expect(conclusion?.outcome?.performance).toEqual(PERFORMANCE);
  });

  test("a view that was pushed has none: the first request brings it", async () => {
    const { performance: _p, findings: _f, spec_check: _s, ...pushed } = body();
    const { conclusion, requests } = await concluded(parseJobView(pushed), [body(RATED)]);
    expect(requests).toBe(1);
    expect(conclusion?.outcome?.findings).toEqual(RATED.findings);
  });

  test("looks again each second until the job is rated", async () => {
    const replies = [body(), body(), body(RATED)];
    const { conclusion, requests, elapsed } = await concluded(viewOf(), replies);
    expect([requests, elapsed]).toEqual([3, 2_000]);
    expect(conclusion?.outcome?.performance).toEqual(PERFORMANCE);
  });

  test("ends after ten seconds without a rating", async () => {
    const { conclusion, elapsed } = await concluded(viewOf(), [body()]);
    expect(elapsed).toBeLessThanOrEqual(10_000);
    expect(conclusion).toMatchObject({ outcome: { performance: null } });
  });

  test.each([
    ["a job that others work on", viewOf({ state: "running", unfinished_nodes: 1 })],
    ["a failed node", viewOf({ task: { id: "7554621441", rank: 0, state: "failed" } })],
    ["a job without QuickMark", viewOf({ benchmark_sequence: [{ benchmark_id: "host_mark" }] })],
  ])("%s is not waited for", async (_name, view) => {
    expect(await concluded(view, [])).toMatchObject({ requests: 0, elapsed: 0 });
  });

  test("a server that answers no more is not waited for longer", async () => {
    const { conclusion, elapsed } = await concluded(null, ["lost"]);
    expect(conclusion).toBeNull();
    expect(elapsed).toBeLessThanOrEqual(10_000);
  });

  test("an older server, which has no verdicts here, is asked once", async () => {
    const { performance: _p, findings: _f, spec_check: _s, ...old } = body();
    expect(await concluded(null, [old])).toMatchObject({ requests: 1, elapsed: 0 });
  });
});

const outcome = (changes: Partial<Outcome> = {}): Conclusion => ({
  outcome: { performance: null, findings: null, specCheck: null, ...changes },
  unfinishedNodes: 0,
});

describe("in words", () => {
  test("each rated figure beside its baseline, then findings and the spec", () => {
    const fields = [
      { field: "memory", promised: "512", found: "256", status: "differs" },
      { field: "disk", promised: "1", found: "2", status: "matches" },
      { field: "cpu", promised: "26", found: null, status: "differs" },
    ];
    const findings = [{ message: "7 GPUs now\u001b[31m" }];
    const said = outcome({
      performance: PERFORMANCE,
      findings,
      specCheck: { status: "differs", fields },
    });
    expect(describeConclusion(said)).toEqual([
      "verdict: UNDERPERFORMING",
      "  BF16 per GPU 452.2 TFLOPS, 58.3 % of 775.6 (own fleet, 4 samples): UNDERPERFORMING",
      "  memory per GPU 3,254.4 GB/s: not rated: no baseline for this model",
      "finding: 7 GPUs now [31m",
      "spec: differs",
      "  memory: 512 promised, 256 found",
      "  cpu: 26 promised, nothing found",
    ]);
  });

  test("a job that others work on: how many are missing", () => {
    expect(describeConclusion({ outcome: null, unfinishedNodes: 2 })).toEqual([
      "verdict: none yet; 2 other nodes have not ended",
    ]);
    expect(describeConclusion({ outcome: null, unfinishedNodes: 1 })).toEqual([
      "verdict: none yet; 1 other node has not ended",
    ]);
  });

  test("no rating, no answer, many findings, and fields that a newer server sends", () => {
    expect(describeConclusion(outcome())).toEqual(["verdict: not rated"]);
    expect(describeConclusion(null)).toHaveLength(1);
    const findings = Array.from({ length: 8 }, (_, i) => ({ message: `finding ${i}` }));
    expect(describeConclusion(outcome({ findings })).at(-1)).toBe(
      "finding: 3 more in the job's report",
    );
    const performance = { status: "excellent", metrics: [{ metric: "bf16_tflops" }, null, 3] };
    expect(describeConclusion(outcome({ performance }))).toEqual([
      "verdict: excellent",
      "  BF16 per GPU no figure: ",
    ]);
  });

  test.each([
    [
      "quick_mark",
      {
        aggregate_results: { bf16_tflops: 5671.2, memory_bandwidth_gbs: 23776 },
        test_results: [{}, {}],
      },
      "BF16 5,671.2 TFLOPS, memory 23,776 GB/s, 2 GPUs in total",
    ],
    ["quick_mark", { test_results: [{ bf16_tflops: 452.2 }] }, "BF16 452.2 TFLOPS"],
    [
      "host_mark",
      { effective_cores: 1.2, memory_triad_gbs: 3.9, disk_sequential_write_mbs: null },
      "effective cores 1.2, memory 3.9 GB/s",
    ],
    [
      "cluster_network",
      { measurements: [{ bandwidth_gbps: 3 }, { bandwidth_gbps: 1 }, { error: "x" }] },
      "2 links, 2 Gbit/s on average, 1 the slowest",
    ],
    ["cluster_network", { measurements: [{ error: "x" }] }, null],
    ["new_mark", { figure: 1 }, null],
    ["quick_mark", null, null],
  ])("figures of %s", (benchmark, results, line) => {
    expect(describeFigures(benchmark, results)).toBe(line);
  });
});
