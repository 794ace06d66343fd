import { describe, test } from "vitest";
import { detail, join, poll, putResult, resultBody } from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import { flushed } from "../harness/instruments.ts";

function links(source: number, nodes: number) {
  const targets = Array.from({ length: nodes }, (_, rank) => rank).filter(
    (rank) => rank !== source,
  );
  return {
    measurements: targets.map((target) => ({
      source_rank: source,
      target_rank: target,
      bandwidth_gbps: 10 + source + target,
      latency_ms: 0.5,
    })),
  };
}

async function joinAll(job: TestJob, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let rank = 0; rank < count; rank++) {
    const reply = await join(job, { cluster_address: `10.0.0.${rank + 1}:7117` });
    ids.push(reply.body.id);
  }
  return ids;
}

describe("the life of a job, over HTTP", () => {
  test("one node, quick_mark: created → running → completed", async ({ expect }) => {
    const job = await createJob();
    expect((await poll(job)).body).toMatchObject({
      directive: "join",
      state: "created",
      task: null,
    });
    const joined = await join(job);
    expect(joined.status, joined.text).toBe(201);
    const view = await poll(job, joined.body.id);
    expect(view.body).toMatchObject({
      directive: "run",
      state: "running",
      step: { position: 0, benchmark_id: "quick_mark", config: null, peer_key: null },
      nodes: null,
    });
    const sent = await putResult(job, joined.body.id, 0);
    expect(sent.status, sent.text).toBe(200);
    expect((await poll(job, joined.body.id)).body).toMatchObject({
      directive: "stop",
      state: "completed",
    });
    await flushed(job);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("completed");
    expect(seen.tasks[0].benchmark_results.quick_mark.results.aggregate_results.bf16_tflops).toBe(
      452.2,
    );
    expect(seen.quickmark_aggregate_results).toMatchObject({
      node_count: 1,
      gpu_count: 1,
      metrics: {
        bf16_tflops: { min: 452.2, median: 452.2, max: 452.2, mean: 452.2, total: 452.2 },
      },
    });
  });

  test("a cluster step waits for every node, then combines what they measured", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 3, benchmarks: ["cluster_network"] });
    const ids = await joinAll(job, 3);
    for (const id of ids.slice(0, 2)) await putResult(job, id, 0);
    expect((await poll(job, ids[0])).body).toMatchObject({ directive: "wait", step: null });
    expect((await poll(job, ids[2])).body).toMatchObject({ directive: "run" });
    await putResult(job, ids[2] ?? "", 0);
    const view = (await poll(job, ids[1])).body;
    expect(view).toMatchObject({
      directive: "run",
      step: { position: 1, benchmark_id: "cluster_network" },
    });
    expect(view.step.peer_key).toMatch(/^[0-9a-f]{64}$/);
    expect(view.nodes).toEqual(
      ids.map((id, rank) => {
        const address = `10.0.0.${rank + 1}:7117`;
        return { rank, task_id: id, cluster_address: address, cluster_addresses: [address] };
      }),
    );
    for (const [rank, id] of ids.entries()) {
      const sent = await putResult(job, id, 1, resultBody(links(rank, 3)));
      expect(sent.status, sent.text).toBe(200);
    }
    await flushed(job);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("completed");
    expect(seen.benchmark_results.cluster_network.results).toEqual({
      avg_bandwidth_gbps: 12,
      avg_latency: 0.5,
      min_bandwidth_gbps: 11,
      total_links_tested: 6,
    });
  });
});
