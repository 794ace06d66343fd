/** Examples of the API document: one job, the same in every request and reply. */
import { paginationExample } from "../api/lists.ts";
import type { CreatedJobWire, JobDetailWire, ListedJobWire } from "./schemas.ts";

const token =
  "eyJhbGciOiJIUzI1NiIsInR5cCI6ImpvYitqd3QifQ.eyJzdWIiOiI3NTU0NjIxNDQwIn0.2Rk1r2m0iVYyKq0h3b0E5m7c6v8n9QwErTyUiOpAsDf";

/** Without a name, which must be free: whoever tries it twice gets two jobs. */
export const createJobExample = {
  description: "Testing new cluster",
  benchmarks: ["quick_mark", { benchmark_id: "cluster_network", config: {} }],
  node_count: 4,
  tags: ["production", "gpu"],
  provider: "Example Cloud",
  region: "eu-north-1",
  order: "PO-2024-117",
};

const jobFields = {
  id: "7554621440",
  name: "GPU Benchmark Test",
  description: "Testing new cluster",
  node_count: 4,
  benchmarks: ["quick_mark", "cluster_network"],
  tags: ["production", "gpu"],
  token,
  created_at: "2024-03-15T10:30:00.000Z",
  expires_at: "2024-03-16T10:30:00.000Z",
};

export const createdJobExample: CreatedJobWire = {
  ...jobFields,
  join_command: `curl -fsSL https://assay.example/agent | sh -s -- --host https://assay.example --token ${token}`,
};

const jobExample = {
  ...jobFields,
  state: "completed" as const,
  current_nodes: 4,
  benchmark_sequence: [
    { benchmark_id: "quick_mark", config: null },
    { benchmark_id: "cluster_network", config: null },
  ],
  started_at: "2024-03-15T10:35:00.000Z",
  ended_at: "2024-03-15T11:45:00.000Z",
  spec_check: "differs" as const,
  provider: "Example Cloud",
  region: "eu-north-1",
  order: "PO-2024-117",
};

const listedJobExample: ListedJobWire = {
  ...jobExample,
  gpu_models: null,
  quickmark_aggregate_results: null,
  performance: null,
  performance_nodes: null,
};

export const jobPageExample = { results: [listedJobExample], pagination: paginationExample };

const clusterResult = {
  benchmark_id: "cluster_network",
  benchmark_name: "Cluster Network",
  started_at: "2024-03-15T10:40:00.000Z",
  ended_at: "2024-03-15T10:55:00.000Z",
  clock_skew_ms: null,
  config: {},
  state: "completed" as const,
  error_message: null,
  implausible: [],
};
const clusterFigures = {
  avg_bandwidth_gbps: 45.2,
  avg_latency: 0.8,
  min_bandwidth_gbps: 42.1,
  total_links_tested: 12,
};

export const jobResultsExample = {
  cluster_network: {
    ...clusterResult,
    results: {
      ...clusterFigures,
      node_count: 4,
      measurements: [{ source_rank: 0, target_rank: 1, bandwidth_gbps: 45.2, latency_ms: 0.8 }],
    },
  },
};

export const jobDetailExample: JobDetailWire = {
  ...jobExample,
  join_command: null,
  spec: "550e8400-e29b-41d4-a716-446655440000",
  expected_spec: "550e8400-e29b-41d4-a716-446655440000",
  tasks: [
    {
      spec_check: {
        status: "differs",
        fields: [
          {
            field: "memory",
            promised: "2199023255552",
            found: "1082331758592",
            status: "differs",
            reason: "1008 GiB found, 2 TiB promised",
          },
        ],
      },
      id: "7554621441",
      job_id: "7554621440",
      rank: 0,
      machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
      machine_ip: "192.168.1.10",
      state: "completed",
      failed_message: null,
      progress: 1,
      message: null,
      clock_skew_ms: -12,
      created_at: "2024-03-15T10:35:00.000Z",
      started_at: "2024-03-15T10:35:30.000Z",
      ended_at: "2024-03-15T11:40:00.000Z",
      gpu_model: "NVIDIA A100-SXM4-80GB",
      gpu_count: 8,
      gpu_models: [{ model: "NVIDIA A100-SXM4-80GB", count: 8 }],
      pdf_report_url: null,
      report_error: null,
      benchmark_results: {},
    },
  ],
  benchmark_results: { cluster_network: { ...clusterResult, results: clusterFigures } },
  quickmark_aggregate_results: {
    node_count: 4,
    gpu_count: 32,
    metrics: {
      bf16_tflops: { min: 2_081.4, median: 2_107.9, max: 2_120.3, mean: 2_104.4, total: 8_417.6 },
    },
  },
  pdf_report_url: null,
  report_error: null,
  findings: null,
  scoreboard_summary: null,
  events: [
    {
      at: "2024-03-15T10:35:00.000Z",
      kind: "joined",
      rank: 0,
      message: "node 0 joined (1 of 4)",
    },
  ],
};

export const abortedJobExample = {
  id: "7554621440",
  state: "aborted" as const,
  ended_at: "2024-03-15T10:50:00.000Z",
};

export const eventStreamExample = `retry: 2000

id: 1
event: event
data: {"at":"2024-03-15T10:31:00.000Z","kind":"joined","rank":0,"message":"node 0 joined"}

event: progress
data: {"task_id":"7554621441","rank":0,"progress":0.5,"message":"bf16"}

event: end
data: {"state":"completed","ended_at":"2024-03-15T10:41:00.000Z"}

`;
