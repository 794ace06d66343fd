/** The node that the API document shows, of the job that the jobs' examples show. */
import type { z } from "@hono/zod-openapi";
import { taskExample } from "../coordinator/examples.ts";
import type { nodeView } from "./schemas.ts";

export const nodeViewExample: z.infer<typeof nodeView> = {
  id: "7554621440",
  name: "GPU Benchmark Test",
  state: "running",
  version: 5,
  node_count: 4,
  current_nodes: 4,
  benchmark_sequence: [
    { benchmark_id: "quick_mark", config: null },
    { benchmark_id: "cluster_network", config: null },
  ],
  expires_at: "2024-03-16T10:30:00.000Z",
  directive: "run",
  step: { position: 0, benchmark_id: "quick_mark", config: null, peer_key: null },
  nodes: null,
  task: taskExample,
  poll_after_seconds: 31.4,
};
