/** Sample machines and results, both as request bodies and as lifecycle events. */
import { createHash } from "node:crypto";
import type { Event } from "../../../src/coordinator/life/lifecycle.ts";
import type { Machine } from "../../../src/coordinator/life/model.ts";
import {
  CLUSTER_NETWORK,
  clusterFigures,
  ENDED_AT,
  QUICK_MARK,
  quickMarkFigures,
  STARTED_AT,
  stepResult,
} from "../../world/results.ts";

export { CLUSTER_NETWORK, QUICK_MARK };

export interface Plan {
  nodeCount: number;
  /** `quick_mark` comes first, and the cluster benchmark needs two nodes. */
  benchmarks: readonly string[];
}

/** `moved` gives the same machine another address. */
export interface MachineChoice {
  index: number;
  moved: boolean;
}

export function machineBody({ index, moved }: MachineChoice) {
  return {
    machine_uuid: `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`,
    machine_ip: moved ? "10.0.0.2" : "10.0.0.1",
    cluster_address: `10.0.0.1:${7_000 + index}`,
    gpu_model: "NVIDIA H100 NVL",
    gpu_count: 1,
    join_secret: `secret-of-the-machine-${index}`,
  };
}

/** The joining of a machine, which has one secret for ever. */
export function joinEvent(choice: MachineChoice): Event {
  const { join_secret: secret } = machineBody(choice);
  const secretHash = createHash("sha256").update(secret).digest("base64url");
  return { type: "join", machine: machineOf(choice), by: { secretHash } };
}

export function machineOf(choice: MachineChoice): Machine {
  const body = machineBody(choice);
  return {
    machineUuid: body.machine_uuid,
    machineIp: body.machine_ip,
    clusterAddresses: [body.cluster_address],
    gpuModel: body.gpu_model,
    gpuCount: body.gpu_count,
    gpuModels: null,
    inventoryHash: null,
    bootId: null,
  };
}

/** `one` and `other` differ in their figures; `failed` has none; `invalid` breaks the schema. */
export type ResultChoice = "one" | "other" | "failed" | "invalid";

/** The figures of a result; null for a failed step. */
export function figuresOf(plan: Plan, rank: number, position: number, choice: ResultChoice) {
  if (choice === "failed") return null;
  if (choice === "invalid") return { unexpected: true };
  const figure = choice === "one" ? 452.5 : 300.25;
  if (plan.benchmarks[position] !== CLUSTER_NETWORK) return quickMarkFigures(figure);
  return clusterFigures(rank, plan.nodeCount, figure);
}

export function resultBody(plan: Plan, rank: number, position: number, choice: ResultChoice) {
  const state = choice === "failed" ? "failed" : "completed";
  return stepResult(state, figuresOf(plan, rank, position, choice));
}

export function resultEvent(rank: number, position: number, choice: ResultChoice): Event {
  return {
    type: "result",
    rank,
    position,
    state: choice === "failed" ? "failed" : "completed",
    startedAt: Date.parse(STARTED_AT),
    endedAt: Date.parse(ENDED_AT),
    errorMessage: choice === "failed" ? "no GPU" : null,
  };
}
