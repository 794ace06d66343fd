/** Whose job it was, where it ran, when, and by what software. */
import type { ReportData, ReportNode } from "../../report-data.ts";
import { facts } from "../facts.ts";
import { type Flow, WIDTH } from "../flow.ts";
import { stepName, withStepNames } from "../step-names.ts";
import { duration, time, words } from "../writing.ts";

/** The job's identity: owner, times, software. */
export function identity(flow: Flow, data: ReportData): void {
  const { job, nodes, subject, release } = data;
  const agents = [...new Set(nodes.map(({ agentVersion }) => agentVersion ?? "not stated"))].sort();
  const at = (ms: number | null) => (ms === null ? "–" : time(ms));
  const took =
    job.endedAt === null ? "–" : duration(job.endedAt - (job.startedAt ?? job.createdAt));
  const [node] = nodes;
  const ofTask: [string, string][] =
    subject.kind === "task" && node !== undefined ? factsOfNode(node, at) : [];
  facts(
    flow,
    [
      ["Job", job.id],
      ["Customer", job.customer],
      ["Created by", job.person ?? "–"],
      ["State", words(job.state)],
      ["Provider", job.provider ?? "–"],
      ["Region", job.region ?? "–"],
      ["Order", job.order ?? "–"],
      ["Nodes", `${job.currentNodes} of ${job.nodeCount} joined`],
      ["Created", at(job.createdAt)],
      ["All nodes joined", at(job.startedAt)],
      ["Ended", at(job.endedAt)],
      ["Duration", took],
      ["Benchmarks", job.steps.map(stepName).join(", ")],
      ["Agent", nodes.length === 0 ? "–" : agents.join(", ")],
      ["Server", `Assay ${release}`],
      ["Tags", job.tags.length === 0 ? "–" : job.tags.join(", ")],
      ...ofTask,
    ],
    { columns: 4, width: WIDTH },
  );
  const long: [string, string | null][] = [
    ["Description", job.description],
    // In the job's report, the table of machines has it.
    [
      "Failure",
      subject.kind === "task" ? withStepNames(node?.failedMessage ?? "", job.steps) : null,
    ],
  ];
  for (const [label, text] of long) {
    if (text) facts(flow, [[label, text]], { columns: 1, width: WIDTH });
  }
}

function factsOfNode(node: ReportNode, at: (ms: number | null) => string): [string, string][] {
  return [
    ["Task", node.taskId],
    ["Node", `rank ${node.rank}`],
    ["Machine", node.machineUuid],
    ["Address", node.machineIp ?? "–"],
    ["State of the node", words(node.state)],
    ["Joined", at(node.joinedAt)],
    ["First step started", at(node.startedAt)],
    ["Node ended", at(node.endedAt)],
  ];
}
