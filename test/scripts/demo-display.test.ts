/** The results of `npm run demo` on terminals of any width. */
import { describe, test } from "vitest";
import type { JobDetail } from "../../scripts/lib/api.ts";
import { resultTable } from "../../scripts/lib/demo-display.ts";

const HOST =
  "This machine, measured by HostMark: 1.9 effective cores; memory 64.8 GB/s; disk 2257 MB/s write, 1788 MB/s read.";
const GPUS = ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"];

const metrics = [
  { metric: "bf16_tflops", value: 149, ratio: 0.5832, baseline: 255.5, status: "underperforming" },
  { metric: "memory_bandwidth_gbs", value: 1_371, ratio: 1, baseline: 1_371, status: "expected" },
];
const job = {
  tasks: GPUS.map((model, rank) => ({ rank, gpu_models: [{ model, count: 8 }] })),
  scoreboard_summary: {
    nodes: GPUS.map((_, rank) => ({ rank, status: "underperforming", metrics })),
  },
  benchmark_results: {
    cluster_network: {
      results: {
        total_links_tested: 12,
        avg_bandwidth_gbps: 10.8,
        min_bandwidth_gbps: 8.3,
        avg_latency: 0.054,
      },
    },
  },
} as unknown as JobDetail; // the fields that are shown

describe("the results", () => {
  test.for([78, 80, 100, 105])(
    "fit a terminal of %d characters, by whole words",
    (width, { expect }) => {
      const narrow = resultTable(job, HOST, width);
      for (const line of narrow.split("\n")) expect(line.length, line).toBeLessThanOrEqual(width);
      expect(narrow).toMatch(
        /^1 +8 × H100 80GB HBM3 +149\.0 +58\.3 % +1371\.0 +100\.0 % +UNDERPERFORMING$/m,
      );
      const words = (text: string) => text.split(/\s+/).filter((word) => word !== "NVIDIA");
      const ofSentences = (text: string) => words(text.slice(text.indexOf("Network between")));
      expect(ofSentences(narrow)).toEqual(ofSentences(resultTable(job, HOST)));
    },
  );

  test.for([undefined, 110])(
    "have one row for each node where there is room: %s",
    (width, { expect }) => {
      const [head, first] = resultTable(job, HOST, width).split("\n");
      expect(head).toMatch(/^Node {2}GPUs +BF16 TFLOPS +of baseline +Memory GB\/s +of baseline/);
      expect(first).toContain("8 × NVIDIA A100-SXM4-80GB");
    },
  );
});
