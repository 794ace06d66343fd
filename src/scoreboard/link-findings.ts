/** What the links between the nodes show, beside each other and beside the nodes' network cards. Pure. */
import { type JudgedLink, type LinkJudgement, SLOW_LINK } from "../benchmarks/link-judgement.ts";
import { percent } from "../lib/percent.ts";
import type { Finding, SequenceStep, StepRecord } from "../lib/stored-json.ts";
import { rounded, short } from "./facts.ts";

const METRIC = "bandwidth_gbps";

/** The findings of all network steps, each with the node that it is about: of a link the source. */
export function linkFindings(
  sequence: readonly SequenceStep[],
  steps: readonly Pick<StepRecord, "summary">[],
): Finding[] {
  return sequence.flatMap(({ benchmark_id: id }, position) => {
    const judgement = id === "cluster_network" ? judgementOf(steps[position]) : null;
    return judgement === null ? [] : findingsOf(judgement);
  });
}

/** Null for a step without measurements. */
export function judgementOf(step: Pick<StepRecord, "summary"> | undefined): LinkJudgement | null {
  // Written by the benchmark's `summarize`.
  const summary = step?.summary == null ? null : JSON.parse(step.summary);
  return summary?.judgement ?? null;
}

function findingsOf(judgement: LinkJudgement): Finding[] {
  const { median_gbps: median } = judgement;
  return [
    ...judgement.slow_nodes.map(({ rank, gbps, expected_gbps: expected }) =>
      finding(rank, gbps, expected, (share) => {
        const than = `the median of the other nodes' links (${short(expected)})`;
        return `all its links are slow: the fastest has ${short(gbps)} Gbit/s, ${share} of ${than}`;
      }),
    ),
    ...judgement.slow_links.map((link) =>
      finding(link.source_rank, link.gbps, median, (share) => {
        const than = `the median of the job's links (${short(median)})`;
        return `link to node ${link.target_rank}: ${short(link.gbps)} Gbit/s, ${share} of ${than}${back(link)}`;
      }),
    ),
    ...judgement.asymmetric_links.map((link) =>
      finding(link.source_rank, link.gbps, link.reverse_gbps ?? 0, (share) => {
        const than = `the other direction (${short(link.reverse_gbps ?? 0)})`;
        return `link to node ${link.target_rank}: ${short(link.gbps)} Gbit/s, ${share} of ${than}`;
      }),
    ),
    ...judgement.below_card.map(({ rank, gbps, expected_gbps: expected }) =>
      finding(rank, gbps, expected, (share) => {
        const than = `the network card's rate (${short(expected)})`;
        return `the fastest of its links has ${short(gbps)} Gbit/s, ${share} of ${than}`;
      }),
    ),
  ];
}

/** A link that is slow in one direction only. */
function back({ gbps, reverse_gbps: reverse }: JudgedLink): string {
  return reverse !== null && gbps < SLOW_LINK * reverse
    ? `; the other direction has ${short(reverse)}`
    : "";
}

function finding(
  rank: number,
  value: number,
  expected: number,
  say: (share: string) => string,
): Finding {
  const ratio = value / expected;
  return {
    kind: "network",
    metric: METRIC,
    rank,
    gpu: null,
    value: rounded(value),
    expected: rounded(expected),
    ratio: rounded(ratio),
    message: say(percent(ratio)),
  };
}
