import type { RatingThresholds } from "../lib/config.ts";
import type { JobVerdict } from "../scoreboard/verdict.ts";

/**
 * Everything that a report says, as plain data: what is drawn follows from this and the layout alone. Its
 * JSON is what the content hash is made of, so whoever makes one writes the keys in one order. Times are ms.
 */
export interface ReportData {
  /** What it is about: the whole job, or one node's part of it; `id` is the job's or the task's. */
  subject: { kind: "job"; id: string } | { kind: "task"; id: string; rank: number };
  /** The version of the program that made it. */
  release: string;
  /** Where the deployment is reached, such as `https://assay.example`; null when it is not known. */
  origin: string | null;
  job: ReportJob;
  /** Null when nothing has been compared. Of a task: its node alone. */
  verdict: JobVerdict | null;
  thresholds: RatingThresholds;
  /** By rank. Of a task: its node alone. */
  nodes: ReportNode[];
  /** Cluster network steps, in the order they ran. */
  networks: ReportNetwork[];
  events: ReportEvent[];
}

export interface ReportJob {
  id: string;
  name: string;
  description: string | null;
  /** Whose job it is. */
  customer: string;
  tags: string[];
  state: string;
  nodeCount: number;
  currentNodes: number;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
  steps: ReportStep[];
}

export interface ReportStep {
  /** As in result maps, such as `cluster_network:2`. */
  key: string;
  name: string;
  isCluster: boolean;
  /** Its options as JSON; null for none. */
  config: string | null;
  state: string;
  startedAt: number | null;
  endedAt: number | null;
  errorMessage: string | null;
}

export interface ReportNode {
  rank: number;
  taskId: string;
  machineUuid: string;
  machineIp: string | null;
  gpuModel: string | null;
  /** What the machine said on joining, else the GPUs it has results for; null when neither is known. */
  gpuCount: number | null;
  agentVersion: string | null;
  state: string;
  failedMessage: string | null;
  joinedAt: number;
  startedAt: number | null;
  endedAt: number | null;
  steps: Omit<ReportStep, "name" | "isCluster" | "config">[];
  /** Dotted names and values, in the order the machine sent them; bounded, see `omittedInventory`. */
  inventory: [name: string, value: string][];
  /** How many values of the inventory are left out for being too many. */
  omittedInventory: number;
  quickMark: QuickMarkFigures | null;
}

/** By metric, as `quickMark.fields` names them. */
export type Figures = Record<string, number>;

export interface QuickMarkFigures {
  /** A recording was sent in place of a measurement. */
  isReplayed: boolean;
  measuredAt: string | null;
  /** All GPUs of the node at once. */
  aggregate: Figures;
  /** Metrics of the aggregate that no healthy sensor reports, or that are computed from such a one. */
  implausible: string[];
  gpus: { id: string; figures: Figures; implausible: string[] }[];
  pairs: {
    from: string;
    to: string;
    type: string | null;
    duplex: number | null;
    simplex: number | null;
  }[];
}

export interface ReportNetwork {
  key: string;
  state: string;
  nodeCount: number;
  averageGbps: number | null;
  minimumGbps: number | null;
  averageLatencyMs: number | null;
  linksTested: number;
  /** One directed link each, by source, then target. Of a task: those from and to its node. */
  links: ReportLink[];
}

/** Source, target, Gbit/s, ms; with the reason in place of figures when the link failed. */
export type ReportLink =
  | [source: number, target: number, gbps: number, latencyMs: number]
  | [source: number, target: number, error: string];

export interface ReportEvent {
  at: number;
  kind: string;
  rank: number | null;
  message: string;
}
