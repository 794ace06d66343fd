import type { ReportData } from "../report-data.ts";
import { count, ranks } from "./writing.ts";

/** What stands on every page: that figures were not measured here, or that some are missing. */
export function noticesOf(data: ReportData): string[] {
  return [...replayed(data), ...partial(data)];
}

function replayed({ nodes, subject }: ReportData): string[] {
  const list = nodes.filter(({ quickMark }) => quickMark?.isReplayed === true);
  if (list.length === 0) return [];
  const whose =
    subject.kind === "task" || list.length === nodes.length ? "" : ` of ${nodesOf(list)}`;
  return [`REPLAYED: the QuickMark figures${whose} are recordings, not measured in this job.`];
}

function partial({ job, nodes, subject }: ReportData): string[] {
  const parts: string[] = [];
  const absent = job.nodeCount - job.currentNodes;
  if (subject.kind === "job" && absent > 0)
    parts.push(`${count(absent, "node")} of ${job.nodeCount} never joined`);
  for (const [position, step] of job.steps.entries()) {
    // The same benchmark with other options has a number in its key.
    const name = step.key.includes(":") ? `${step.name} (${step.key})` : step.name;
    const without = nodes.filter((node) => node.steps[position]?.state !== "completed");
    if (without.length > 0) {
      parts.push(
        subject.kind === "task"
          ? `${name} was not completed`
          : `${name} was not completed on ${nodesOf(without)}`,
      );
    }
  }
  return parts.length === 0 ? [] : [`PARTIAL: ${parts.join("; ")}.`];
}

function nodesOf(list: readonly { rank: number }[]): string {
  return `${list.length === 1 ? "node" : "nodes"} ${ranks(
    list.map(({ rank }) => rank),
    6,
  )}`;
}
