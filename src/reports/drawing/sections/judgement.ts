/** The judgement of the network in words. */
import { isFlawless, MIN_LINKS, SLOW_LINK } from "../../../benchmarks/link-judgement.ts";
import { percent } from "../../../lib/percent.ts";
import { eachLink, linkCount } from "../../link-table.ts";
import type { ReportData, ReportNetwork } from "../../report-data.ts";
import { runOf } from "../step-names.ts";
import { count, figure, nodesOf } from "../writing.ts";

const LINE = percent(SLOW_LINK);

/** A sentence for each network step of the job. A node's report has those of the job, too: its links are part of them. */
export function networkReasons({ networks, subject }: ReportData): string[] {
  return networks.flatMap((step) => {
    const text = judgementOf(step);
    if (text === null) return [];
    const name = `Network${runOf(step.key)}`;
    const whose = subject.kind === "task" ? " of the whole job" : "";
    return `${name}${whose}: ${text}`;
  });
}

export function judgementOf(step: ReportNetwork): string | null {
  const { judgement, links } = step;
  const failed = links.errors.length;
  const failures = failed === 0 ? [] : [`${count(failed, "link")} failed`];
  if (judgement === null) return failed === 0 ? null : `${failures[0]}.`;
  const { median_gbps: median, slow_link_count: slow } = judgement;
  if (!judgement.judged) {
    const [low, high] = ends(step);
    const parts = [
      `too few links to judge (${linkCount(links) - failed} measured, ${MIN_LINKS} needed)`,
      `the slowest has ${figure(low)} Gbit/s, ${percent(low / high)} of the fastest (${figure(high)})`,
      ...belowCard(judgement),
      ...failures,
    ];
    return `${parts.join("; ")}.`;
  }
  if (isFlawless(judgement) && failed === 0) {
    return `no link is below ${LINE} of the job's median of ${figure(median)} Gbit/s.`;
  }
  const nodes = judgement.slow_nodes.toSorted((a, b) => a.rank - b.rank);
  const uneven = judgement.asymmetric_links.length;
  const parts = [
    ...(slow === 0
      ? []
      : [
          `${count(slow, "link is", "links are")} below ${LINE} of the job's median of ${figure(median)} Gbit/s`,
        ]),
    ...(nodes.length === 0 ? [] : [`all links of ${nodesOf(nodes)} are slow`]),
    ...(uneven === 0
      ? []
      : [`${count(uneven, "link is", "links are")} below ${LINE} of the other direction`]),
    ...belowCard(judgement),
    ...failures,
  ];
  return `${parts.join("; ")}.`;
}

function belowCard({ below_card: below }: NonNullable<ReportNetwork["judgement"]>): string[] {
  if (below.length === 0) return [];
  const nodes = below.toSorted((a, b) => a.rank - b.rank);
  const fastest = nodes.length === 1 ? "the fastest link of" : "even the fastest links of";
  const are = nodes.length === 1 ? "is" : "are";
  return [`${fastest} ${nodesOf(nodes)} ${are} below ${LINE} of the network card's rate`];
}

/** The slowest and the fastest link. */
function ends({ links }: ReportNetwork): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (const { gbps } of eachLink(links)) {
    if (gbps === null) continue;
    low = Math.min(low, gbps);
    high = Math.max(high, gbps);
  }
  return [low, high];
}
