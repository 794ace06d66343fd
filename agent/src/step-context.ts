import type { Report } from "./heartbeat.ts";
import type { ClusterNode, Step, StepOutcome } from "./protocol.ts";

/** The job around a running step, as far as the step needs it. */
export interface StepContext {
  jobId: string;
  taskId: string;
  /** All nodes of the job, this one too; empty but for a cluster step. */
  nodes: ClusterNode[];
  report: Report;
  /** Aborts when the job has ended or the agent is interrupted. */
  signal: AbortSignal;
}

/** Runs one step to its outcome; rejects only when the context's signal aborts. */
export type RunStep = (step: Step, context: StepContext) => Promise<StepOutcome>;
