/** The node that the API document shows, of the job that the jobs' examples show. */
import type { z } from "@hono/zod-openapi";
import type { taskReply } from "./machine-schemas.ts";

export const taskExample = {
  id: "7554621441",
  job_id: "7554621440",
  rank: 0,
  machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
  machine_ip: "192.168.1.10",
  state: "running" as const,
  failed_message: null,
  progress: 0,
  message: null,
  created_at: "2024-03-15T10:35:00.000Z",
  started_at: "2024-03-15T10:35:30.000Z",
  ended_at: null,
  gpu_model: "NVIDIA A100-SXM4-80GB",
  gpu_count: 8,
  pdf_report_url: null,
};

export const taskReplyExample: z.infer<typeof taskReply> = {
  ...taskExample,
  poll_after_seconds: 20,
};
