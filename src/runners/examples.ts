/** The runner that the API document shows. */
import type { z } from "@hono/zod-openapi";
import { taskReplyExample } from "../coordinator/examples.ts";
import type { SpecWire } from "../specs/schemas.ts";
import type { claimedJob, RunnerKeyWire, RunnerWire } from "./schemas.ts";

export { specExample } from "../specs/examples.ts";

export const runnerExample: RunnerWire = {
  uuid: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
  name: "Rack 7",
  slug: "rack-7",
  specs: ["550e8400-e29b-41d4-a716-446655440000" satisfies SpecWire["uuid"]],
  state: "online",
  last_heartbeat: "2024-03-15T10:34:00.000Z",
  created: "2024-03-15T10:30:00.000Z",
  modified: "2024-03-15T10:31:00.000Z",
  archived: null,
};

export const runnerKeyExample: RunnerKeyWire = {
  uuid: runnerExample.uuid,
  key: "assay_runner_0123456789abcdefghijABCDEFGHIJ",
};

export const claimedExample: z.infer<typeof claimedJob> = {
  job_id: taskReplyExample.job_id,
  token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQwIn0.c2lnbmF0dXJl",
  task: { ...taskReplyExample, machine_uuid: runnerExample.uuid },
};
