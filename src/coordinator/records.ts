import type { JobEvent, JobState, Step } from "./model.ts";

/**
 * What a coordinator tells the rest of the house: the rows of its projection in D1, which are also
 * what the detail of a live job reads straight from the object. One shape, two ways to get it.
 */
export interface JobRecord {
  version: number;
  state: JobState;
  currentNodes: number;
  startedAt: number | null;
  endedAt: number | null;
  steps: StepRecord[];
  events: readonly JobEvent[];
}

/** A step as the whole job sees it, with the benchmark's summary over the nodes (JSON) once there is one. */
export interface StepRecord extends Step {
  summary: string | null;
}

export interface TaskRecord {
  id: number;
  jobId: number;
  rank: number;
  version: number;
  machineUuid: string;
  machineIp: string | null;
  clusterAddress: string | null;
  gpuModel: string | null;
  gpuCount: number | null;
  inventory: string | null;
  state: JobState;
  failedMessage: string | null;
  steps: readonly Step[];
  /** 0 to 1. */
  progress: number;
  message: string | null;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
}

export interface ResultRecord {
  taskId: number;
  position: number;
  /** JSON text, normalised by the benchmark's schema. */
  results: string;
}
