import type { JobState, SpecCheckStatus } from "../../lib/enums.ts";
import type {
  BodySizes,
  GpuGroup,
  ImplausibleFields,
  JobEvent,
  MeasuredFigures,
  Step,
  StepRecord,
} from "../../lib/stored-json.ts";
import type { SpecCheck } from "../../lib/stored-spec-check.ts";

/**
 * A job as other rooms read it: from the projection in D1, or from its object while the job is live.
 */
export interface JobRecord {
  version: number;
  state: JobState;
  currentNodes: number;
  startedAt: number | null;
  endedAt: number | null;
  steps: StepRecord[];
  events: readonly JobEvent[];
  /** The worst of its nodes; null for no spec, and until the first is checked. */
  specCheck: SpecCheckStatus | null;
}

export interface TaskRecord {
  id: number;
  jobId: number;
  rank: number;
  version: number;
  machineUuid: string;
  hostName: string | null;
  machineIp: string | null;
  clusterAddress: string | null;
  gpuModel: string | null;
  gpuCount: number | null;
  /** By model where there are several; null otherwise. */
  gpuModels: readonly GpuGroup[] | null;
  /** Normalised; null if it named none. */
  models: string[] | null;
  /** Sizes of the results and the inventory, whose bytes are in the job's object, then in R2. */
  bodies: BodySizes;
  /** QuickMark's figures; null while it has none. */
  figures: MeasuredFigures | null;
  /** Fields of its results that cannot be true; null for none. */
  implausible: ImplausibleFields | null;
  /** Null for no spec, and without an inventory. */
  specCheck: SpecCheck | null;
  state: JobState;
  failedMessage: string | null;
  steps: readonly Step[];
  /** 0 to 1. */
  progress: number;
  message: string | null;
  /** How far the node's clock was ahead of the server's, ms, as last reported. */
  clockSkewMs: number | null;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
}

/** The part of a record that a node is shown of itself. */
export type NodeRecord = Omit<
  TaskRecord,
  "models" | "bodies" | "figures" | "implausible" | "specCheck"
>;

/** The rows of one job. */
export interface JobRecords {
  job: JobRecord;
  tasks: TaskRecord[];
}
