import type { LinkJudgement } from "../benchmarks/link-judgement.ts";
import type { RatingThresholds } from "../lib/config.ts";
import type { PaperSize, RatedMetric } from "../lib/enums.ts";
import type { Implausible, JobVerdict } from "../lib/stored-json.ts";
import type { LinkTable } from "./link-table.ts";

/** The report of a job with more nodes leaves inventories to those of its nodes. */
export const MAX_INVENTORIES = 8;

/**
 * Everything that a report says, as plain data. The drawing depends on it and the layout alone. The content hash
 * is made of its JSON and the numbers of its links, so its keys must be written in a fixed order. Times are ms.
 */
export interface ReportData {
  /** The subject of the report: the whole job, or one node's task. */
  subject: { kind: "job"; id: string } | { kind: "task"; id: string; rank: number };
  /** Version of the server that made the report. */
  release: string;
  /** Address of the deployment, such as `https://assay.example`; null if unknown. */
  origin: string | null;
  /** What it is printed on. */
  paper: PaperSize;
  job: ReportJob;
  /** Null for a job without a verdict. A task's report has the verdict of its node alone. */
  verdict: JobVerdict | null;
  thresholds: RatingThresholds;
  /** By rank. A task's report has its node alone. */
  nodes: ReportNode[];
  /** Cluster network steps, in the order they ran. */
  networks: ReportNetwork[];
  events: ReportEvent[];
}

export interface ReportJob {
  id: string;
  name: string;
  description: string | null;
  /** Name of the customer who owns the job. */
  customer: string;
  /** Name of the person who owns it; null for a deleted one. */
  person: string | null;
  /** Where the machines were rented, and under which order; null for what was not given. */
  provider: string | null;
  region: string | null;
  order: string | null;
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
  /** The key of result maps, such as `cluster_network:2`. */
  key: string;
  name: string;
  isCluster: boolean;
  /** The step's options as JSON; null for none. */
  config: string | null;
  state: string;
  /** By the server's clock. */
  startedAt: number | null;
  endedAt: number | null;
  errorMessage: string | null;
  /** How far the node's clock was ahead of the server's, ms, if that was subtracted from the times; otherwise null. */
  clockSkewMs: number | null;
}

export interface ReportNode {
  rank: number;
  taskId: string;
  machineUuid: string;
  machineIp: string | null;
  /** Null where there are several. */
  gpuModel: string | null;
  /** The GPUs in words, such as `8 × NVIDIA H100 NVL`; null if nothing is known of them. */
  gpus: string | null;
  /** The count stated by the machine on joining, else the number of GPUs with results; null for neither. */
  gpuCount: number | null;
  agentVersion: string | null;
  machine: ReportMachine;
  state: string;
  failedMessage: string | null;
  joinedAt: number;
  startedAt: number | null;
  endedAt: number | null;
  steps: Omit<ReportStep, "name" | "isCluster" | "config">[];
  /** Dotted names and values, in the order the machine sent them; bounded. None in the report of a large job. */
  inventory: [name: string, value: string][];
  /** Number of inventory values that are left out. */
  omittedInventory: number;
  quickMark: QuickMarkFigures | null;
  /** By step of HostMark, in the order they ran. */
  hosts: HostFigures[];
  /** Figures of the same machine in its owner's earlier jobs and in this one, by the same method, the oldest first. */
  history: ReportHistory[];
}

/** What a machine says of itself; null for what it does not. */
export interface ReportMachine {
  hostName: string | null;
  /** Of a cloud. */
  instanceId: string | null;
  system: string | null;
  board: string | null;
  bios: string | null;
  processor: string | null;
  kernel: string | null;
  /** A container or a virtual machine. */
  surroundings: string | null;
  driver: string | null;
}

export interface ReportHistory {
  metric: RatedMetric;
  /** Per GPU. */
  points: [at: number, value: number][];
}

/** How the figures of a node were made. */
export interface ReportMeasurement {
  engine: string;
  driver: string | null;
  isBusy: boolean;
  quality: ReportQuality[];
  /** In the order of the figures by GPU. */
  gpus: GpuConditions[];
}

export interface ReportQuality {
  metric: string;
  method: string;
  samples: number | null;
  /** Shares: of the batches, and of the end against the beginning. */
  spread: number | null;
  drift: number | null;
  seconds: number | null;
  isSettled: boolean | null;
}

/** A GPU while it was measured. */
export interface GpuConditions {
  uuid: string | null;
  serial: string | null;
  pciAddress: string | null;
  smMhz: number | null;
  maxSmMhz: number | null;
  memoryMhz: number | null;
  maxMemoryMhz: number | null;
  throttle: string[] | null;
  powerLimitWatts: number | null;
  defaultPowerLimitWatts: number | null;
  /** Memory errors that could not be corrected. */
  eccErrors: number | null;
  remappedRows: number | null;
  rowState: "failed" | "pending" | null;
  pcieGeneration: number | null;
  pcieWidth: number | null;
  watts: number | null;
  celsius: number | null;
}

/** Cores, memory and disk of a node. */
export interface HostFigures {
  /** The key of result maps, such as `host_mark:2`. */
  key: string;
  /** As named by `hostMark.fields`. */
  figures: Figures;
  /** The figures that cannot be true, with the reasons. */
  implausible: Faults;
  /** The reason why the disk was not measured; null if it was. */
  diskReason: string | null;
  /** Others used the machine meanwhile. */
  isBusy: boolean;
  /** Null for a result that does not say it. */
  isSettled: boolean | null;
}

/** Figures by metric, as named by `quickMark.fields`. */
export type Figures = Record<string, number>;

/** Reasons by metric. */
export type Faults = Record<string, string>;

export interface QuickMarkFigures {
  /** True when the agent sent a recording instead of a measurement. */
  isReplayed: boolean;
  measuredAt: string | null;
  /** Null for a result that does not say it. */
  measurement: ReportMeasurement | null;
  /** Figures of all GPUs of the node at once. */
  aggregate: Figures;
  /** Reasons of the aggregate's implausible metrics (`benchmarks/plausibility.ts`). */
  implausible: Faults;
  /** All implausible fields, with their paths in the result; bounded. */
  faults: Implausible[];
  gpus: { id: string; figures: Figures; implausible: Faults }[];
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
  /** The links beside each other; null without any. */
  judgement: LinkJudgement | null;
  /** Directed links, by source, then target. A task's report has the links from and to its node. */
  links: LinkTable;
}

export interface ReportEvent {
  at: number;
  kind: string;
  rank: number | null;
  message: string;
}
