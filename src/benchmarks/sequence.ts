import type { z } from "@hono/zod-openapi";
import { canonicalJson } from "../lib/json.ts";
import type { SequenceStep } from "../lib/stored-json.ts";
import type { JsonObject } from "./benchmark.ts";
import { benchmarkOf, findBenchmark } from "./catalogue.ts";
import { quickMark } from "./quick-mark.ts";

export type SequenceFault =
  | { kind: "unknown"; benchmarkId: string }
  | { kind: "config"; index: number; issues: readonly z.core.$ZodIssue[] }
  | { kind: "duplicate"; index: number; benchmarkId: string }
  | { kind: "too_few_nodes"; benchmarkId: string; minNodes: number };

/**
 * Plans a job (docs/contract.md, "Jobs"). A missing config, `null` and `{}` are the same, also for the search for
 * duplicates. quick_mark comes first in every sequence.
 */
export function planSequence(
  requested: readonly { benchmark_id: string; config?: JsonObject | null | undefined }[],
  nodeCount: number,
): { ok: true; sequence: SequenceStep[] } | { ok: false; fault: SequenceFault } {
  const steps: SequenceStep[] = [];
  const seen = new Set<string>();
  for (const [index, item] of requested.entries()) {
    const benchmark = findBenchmark(item.benchmark_id);
    if (benchmark === undefined) {
      return { ok: false, fault: { kind: "unknown", benchmarkId: item.benchmark_id } };
    }
    const parsed = benchmark.config.safeParse(item.config ?? {});
    if (!parsed.success) {
      return { ok: false, fault: { kind: "config", index, issues: parsed.error.issues } };
    }
    const step = {
      benchmark_id: benchmark.id,
      config: Object.keys(parsed.data).length === 0 ? null : parsed.data,
    };
    const identity = canonicalJson(step);
    if (seen.has(identity)) {
      return { ok: false, fault: { kind: "duplicate", index, benchmarkId: benchmark.id } };
    }
    if (nodeCount < benchmark.minNodes) {
      const { minNodes } = benchmark;
      return { ok: false, fault: { kind: "too_few_nodes", benchmarkId: benchmark.id, minNodes } };
    }
    seen.add(identity);
    steps.push(step);
  }
  const isQuickMark = (step: SequenceStep) => step.benchmark_id === quickMark.id;
  const first = steps.filter(isQuickMark);
  const sequence = [
    ...(first.length > 0 ? first : [{ benchmark_id: quickMark.id, config: null }]),
    ...steps.filter((step) => !isQuickMark(step)),
  ];
  return { ok: true, sequence };
}

/**
 * The keys of result maps by position: the benchmark's id, and `id:2`, `id:3` for the same benchmark with other
 * configs.
 */
export function resultKeys(sequence: readonly SequenceStep[]): string[] {
  const counts = new Map<string, number>();
  return sequence.map(({ benchmark_id }) => {
    const count = (counts.get(benchmark_id) ?? 0) + 1;
    counts.set(benchmark_id, count);
    return count === 1 ? benchmark_id : `${benchmark_id}:${count}`;
  });
}

export function isClusterStep(step: SequenceStep): boolean {
  return benchmarkOf(step.benchmark_id).kind === "cluster";
}

/** A node that has completed such a step has measured something. */
export function isMeasuringStep(step: SequenceStep): boolean {
  return benchmarkOf(step.benchmark_id).measuresNode;
}

/** The positions of the cluster steps. */
export function clusterPositionsOf(sequence: readonly SequenceStep[]): number[] {
  return sequence.flatMap((step, position) => (isClusterStep(step) ? [position] : []));
}

/** The ids of a job's benchmarks, in the order in which they run. */
export function benchmarkIds(sequence: readonly SequenceStep[]): string[] {
  return sequence.map((step) => step.benchmark_id);
}
