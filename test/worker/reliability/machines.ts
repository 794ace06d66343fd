/** Machines and results that differ in a few known ways, as they are sent and as the lifecycle sees them. */
import type { Event } from "../../../src/coordinator/lifecycle.ts";
import type { Machine } from "../../../src/coordinator/model.ts";

export const QUICK_MARK = "quick_mark";
export const CLUSTER_NETWORK = "cluster_network";

export interface Plan {
  nodeCount: number;
  /** `quick_mark` first; the cluster benchmark needs two nodes. */
  benchmarks: readonly string[];
}

/** `moved`: the same machine, with another address. */
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
  };
}

export function machineOf(choice: MachineChoice): Machine {
  const body = machineBody(choice);
  return {
    machineUuid: body.machine_uuid,
    machineIp: body.machine_ip,
    clusterAddress: body.cluster_address,
    gpuModel: body.gpu_model,
    gpuCount: body.gpu_count,
    inventory: null,
  };
}

/** `one` and `other` differ in their figures; `failed` has none; `invalid` lacks what the schema wants. */
export type ResultChoice = "one" | "other" | "failed" | "invalid";

const STARTED_AT = "2026-01-01T00:00:00.000Z";
const ENDED_AT = "2026-01-01T00:05:00.000Z";

/** What is measured; null where nothing is. */
export function figuresOf(plan: Plan, rank: number, position: number, choice: ResultChoice) {
  if (choice === "failed") return null;
  if (choice === "invalid") return { unexpected: true };
  const figure = choice === "one" ? 452.5 : 300.25;
  if (plan.benchmarks[position] !== CLUSTER_NETWORK) {
    return { aggregate_results: { bf16_tflops: figure, memory_bandwidth_gbs: 3_254.5 } };
  }
  const others = Array.from({ length: plan.nodeCount }, (_, other) => other).filter(
    (other) => other !== rank,
  );
  const measurements = others.map((target_rank) => ({
    source_rank: rank,
    target_rank,
    bandwidth_gbps: figure,
    latency_ms: 0.5,
  }));
  return { measurements };
}

export function resultBody(plan: Plan, rank: number, position: number, choice: ResultChoice) {
  return {
    state: choice === "failed" ? "failed" : "completed",
    started_at: STARTED_AT,
    ended_at: ENDED_AT,
    results: figuresOf(plan, rank, position, choice),
    error_message: choice === "failed" ? "no GPU" : null,
  };
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
