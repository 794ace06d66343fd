import type { ReportData } from "../report-data.ts";
import { stepName } from "./step-names.ts";
import { count, nodesOf } from "./writing.ts";

/** Ranges of nodes in a notice, which must stay short. */
const MAX_RANGES = 6;

/** Notices for every page: figures are recordings, or results are missing. */
export function noticesOf(data: ReportData): string[] {
  return [...replayed(data), ...partial(data)];
}

function replayed({ nodes, subject }: ReportData): string[] {
  const list = nodes.filter(({ quickMark }) => quickMark?.isReplayed === true);
  if (list.length === 0) return [];
  const whose =
    subject.kind === "task" || list.length === nodes.length
      ? ""
      : ` of ${nodesOf(list, MAX_RANGES)}`;
  return [`REPLAYED: the QuickMark figures${whose} are recordings, not measured in this job.`];
}

function partial({ job, nodes, subject }: ReportData): string[] {
  const parts: string[] = [];
  const absent = job.nodeCount - job.currentNodes;
  if (subject.kind === "job" && absent > 0)
    parts.push(`${count(absent, "node")} of ${job.nodeCount} never joined`);
  for (const [position, step] of job.steps.entries()) {
    const name = stepName(step);
    const without = nodes.filter((node) => node.steps[position]?.state !== "completed");
    if (without.length > 0) {
      parts.push(
        subject.kind === "task"
          ? `${name} was not completed`
          : `${name} was not completed on ${nodesOf(without, MAX_RANGES)}`,
      );
    }
  }
  return parts.length === 0 ? [] : [`PARTIAL: ${parts.join("; ")}.`];
}
