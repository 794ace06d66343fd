/** Verdicts as the scoreboard stores them, for tests of their later use. */
import type { NodeVerdict, StoredJobVerdict } from "../../../src/lib/stored-json.ts";

/** A node with status `expected`. */
export function nodeVerdict(overrides: Partial<NodeVerdict> = {}): NodeVerdict {
  return {
    rank: 0,
    machineUuid: "m",
    gpuModel: null,
    gpuCount: null,
    gpuModels: null,
    status: "expected",
    metrics: [],
    stragglers: [],
    drops: [],
    isReplayed: false,
    findings: [],
    moreFindings: 0,
    ...overrides,
  };
}

/** A job of one node, with status `expected`. */
export function jobVerdict(): StoredJobVerdict {
  return {
    status: "expected",
    benchmarkId: "quick_mark",
    baselineVersion: 0,
    ratedNodes: 1,
    underperformingNodes: 0,
    metrics: [],
    isReplayed: false,
    findings: [],
    moreFindings: 0,
  };
}
