/** The forms of verdicts in D1, as `packed.ts` has those of other columns: the same rules hold for their codes. */
import type { BaselineSource, FindingKind, PerformanceStatus } from "../lib/enums.ts";
import type {
  Drop,
  Finding,
  MetricVerdict,
  Reference,
  StoredJobVerdict,
  StoredNodeVerdict,
  Straggler,
} from "../lib/stored-json.ts";
import {
  always,
  coded,
  type Form,
  flag,
  listOrNothing,
  nullable,
  number,
  optional,
  record,
  text,
  unless,
} from "./forms.ts";
import { metric } from "./metric-codes.ts";
import { gpuGroups, spread } from "./packed.ts";

const performanceStatus = coded<PerformanceStatus>({
  underperforming: "u",
  expected: "e",
  outperforming: "o",
  unrated: "n",
});

const metricFields = record<MetricVerdict>({
  metric,
  status: performanceStatus,
  reason: nullable(text),
  value: nullable(number),
  ratio: nullable(number),
  source: nullable(
    coded<BaselineSource>({ pinned: "p", own_fleet: "o", fleet: "f", shipped: "s" }),
  ),
  sampleSize: nullable(number),
  shippedBaseline: nullable(number),
  ownFleetBaseline: nullable(number),
  fleetBaseline: nullable(number),
  baseline: nullable(number),
  gpuModel: nullable(text),
  methodClass: unless("quickmark", text),
  reference: nullable(
    record<Reference>({
      value: number,
      ratio: number,
      of: coded<Reference["of"]>({ shipped: "s", data_sheet: "d" }),
    }),
  ),
  spread: optional(spread),
});

/** The baseline is one of its candidates, unless a person has pinned it. */
function candidateOf(verdict: MetricVerdict): number | null {
  const { source, shippedBaseline, ownFleetBaseline, fleetBaseline } = verdict;
  const candidates = {
    shipped: shippedBaseline,
    own_fleet: ownFleetBaseline,
    fleet: fleetBaseline,
  };
  return source === null || source === "pinned" ? null : candidates[source];
}

const metricVerdict: Form<MetricVerdict> = {
  pack(verdict) {
    const isCandidate = verdict.baseline === candidateOf(verdict);
    return metricFields.pack(isCandidate ? { ...verdict, baseline: null } : verdict);
  },
  unpack(packed) {
    const verdict = metricFields.unpack(packed);
    return { ...verdict, baseline: verdict.baseline ?? candidateOf(verdict) };
  },
};

const finding = record<Finding>({
  kind: coded<FindingKind>({
    health: "h",
    gpu_count: "c",
    spec_differs: "s",
    above_data_sheet: "a",
    gpu_straggler: "g",
    node_straggler: "n",
    network: "l",
    asymmetry: "y",
    drop: "d",
  }),
  metric,
  rank: number,
  message: text,
  gpu: nullable(number),
  value: nullable(number),
  expected: nullable(number),
  ratio: nullable(number),
});

const findingsFields = {
  findings: listOrNothing(finding),
  moreFindings: unless(0, number),
  isReplayed: flag,
};

export const nodeVerdict = record<StoredNodeVerdict>({
  status: performanceStatus,
  metrics: listOrNothing(metricVerdict),
  stragglers: listOrNothing(
    record<Straggler>({
      gpu: number,
      metric,
      value: number,
      median: number,
      ratio: nullable(number),
      gpuId: nullable(text),
    }),
  ),
  drops: listOrNothing(
    record<Drop>({
      metric,
      value: number,
      previousValue: number,
      ratio: number,
      previousAt: nullable(number),
      gpuModel: nullable(text),
    }),
  ),
  gpuModels: nullable(gpuGroups),
  ...findingsFields,
});
/** Paths in a node's verdict. */
export const nodeVerdictPath = { findings: "$[5]", isReplayed: "$[7]" } as const;
export const findings = listOrNothing(finding);

export const jobVerdict = record<StoredJobVerdict>({
  status: performanceStatus,
  baselineVersion: number,
  ratedNodes: number,
  underperformingNodes: number,
  metrics: listOrNothing(metricVerdict),
  benchmarkId: always("quick_mark"),
  ...findingsFields,
});
