import type { Answer } from "./fake-server.ts";

/** Replies of a server about one job. */
export const ID = "7554621440";
export const JOBS = "/api/silicon-mark/v1/jobs";
export const JOB = `${JOBS}/${ID}`;
export const TASKS = "/api/silicon-mark/v1/tasks";
export const MACHINES = "/api/silicon-mark/v1/machines";

export const task = (more = {}) => ({
  id: "7554621441",
  job_id: ID,
  rank: 0,
  machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
  machine_ip: null,
  state: "completed",
  failed_message: null,
  progress: 1,
  message: null,
  gpu_model: "NVIDIA L4",
  gpu_count: 1,
  gpu_models: [{ model: "NVIDIA L4", count: 1 }],
  spec_check: null,
  benchmark_results: {},
  ...more,
});

export const machine = (more = {}) => ({
  machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
  host_name: null,
  gpu_models: [{ model: "NVIDIA L4", count: 1 }],
  provider: null,
  region: null,
  jobs: 1,
  last_job_id: ID,
  last_seen_at: "2026-11-22T10:00:00.000Z",
  status: null,
  replayed: null,
  findings: null,
  spec_check: null,
  ...more,
});

export const metric = (status: string, ratio: number) => ({
  metric: "bf16_tflops",
  gpu_model: "NVIDIA L4",
  value: 100 * ratio,
  baseline: 100,
  ratio,
  sample_size: 41,
  source: "fleet",
  status,
  reason: null,
});

export const summary = (status: string, ratio = 1, findings: unknown[] = []) => ({
  status,
  replayed: false,
  findings,
  finding_count: findings.length,
  nodes: [
    {
      task_id: "7554621441",
      rank: 0,
      status,
      findings,
      finding_count: findings.length,
      metrics: [metric(status, ratio)],
    },
  ],
});

export const job = (more = {}) => ({
  id: ID,
  name: "nightly",
  token: "job-token",
  description: null,
  state: "completed",
  node_count: 1,
  current_nodes: 1,
  benchmarks: ["quick_mark"],
  tags: [],
  created_at: "2026-11-22T10:00:00.000Z",
  started_at: null,
  expires_at: "2026-11-23T10:00:00.000Z",
  ended_at: "2026-11-22T10:10:00.000Z",
  spec_check: null,
  spec: null,
  expected_spec: null,
  tasks: [task()],
  benchmark_results: {},
  pdf_report_url: "/report",
  report_error: null,
  scoreboard_summary: summary("expected"),
  events: [],
  ...more,
});

export const live = job({
  state: "running",
  ended_at: null,
  tasks: [task({ state: "running", progress: 0.5 })],
  pdf_report_url: null,
  scoreboard_summary: null,
});

export const stream =
  (text: string, end: (response: Parameters<Answer>[0]) => void): Answer =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(text, () => end(response));
  };
export const event = (id: number, message: string) =>
  `id: ${id}\nevent: event\ndata: ${JSON.stringify({ at: "2026-11-22T10:00:00.000Z", kind: "joined", rank: 0, message })}\n\n`;
export const END = 'event: end\ndata: {"state":"completed"}\n\n';
export const close = (response: Parameters<Answer>[0]) => void response.end();

/** Reply of creating it. */
export const created = {
  id: ID,
  name: "nightly",
  description: null,
  node_count: 1,
  benchmarks: ["quick_mark"],
  tags: [],
  token: "job-token",
  join_command: "curl -fsSL H/agent | sh -s -- --token job-token",
  created_at: "2026-11-22T10:00:00.000Z",
  expires_at: "2026-11-23T10:00:00.000Z",
};
