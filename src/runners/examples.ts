/** Examples of the API document: one runner. */

import type { SpecWire } from "../specs/schemas.ts";
import { RUNNER_UUID } from "./claim-contract.ts";
import type { RunnerKeyWire, RunnerWire } from "./schemas.ts";

export const runnerExample: RunnerWire = {
  uuid: RUNNER_UUID,
  name: "Rack 7",
  slug: "rack-7",
  specs: ["550e8400-e29b-41d4-a716-446655440000" satisfies SpecWire["uuid"]],
  spec_checks: [
    {
      spec: "550e8400-e29b-41d4-a716-446655440000",
      status: "differs",
      task_id: "7554621441",
    },
  ],
  state: "online",
  last_heartbeat: "2024-03-15T10:34:00.000Z",
  created: "2024-03-15T10:30:00.000Z",
  modified: "2024-03-15T10:31:00.000Z",
  archived: null,
};

export const runnerKeyExample: RunnerKeyWire = {
  uuid: runnerExample.uuid,
  key: "bencher_runner_0123456789abcdefghijABCDEFGHIJ",
};
