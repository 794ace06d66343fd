/** How a job and its nodes compare with baselines. */
export type Status = "underperforming" | "expected" | "outperforming" | "unrated";
export type BaselineSource = "fleet" | "shipped" | "pinned";

export interface MetricVerdict {
  metric: string;
  value: number | null;
  baseline: number | null;
  ratio: number | null;
  sampleSize: number | null;
  source: BaselineSource | null;
  status: Status;
  reason: string | null;
}

export interface NodeVerdict {
  rank: number;
  machineUuid: string;
  gpuModel: string | null;
  gpuCount: number | null;
  status: Status;
  metrics: MetricVerdict[];
}

export interface JobVerdict {
  status: Status;
  benchmarkId: "quick_mark";
  baselineVersion: number;
  ratedNodes: number;
  underperformingNodes: number;
  metrics: MetricVerdict[];
  nodes: NodeVerdict[];
}
