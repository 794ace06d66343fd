/** The parts of a job's data that its own report shows, and those of its nodes. Pure. */
import { cutAt } from "../lib/text.ts";
import { linksOfNode } from "./link-table.ts";
import { MAX_INVENTORIES, type QuickMarkFigures, type ReportData } from "./report-data.ts";

/** The data of the job's report: without inventories and facts of single GPUs if it has many nodes. */
export function jobDataOf(data: ReportData): ReportData {
  if (data.nodes.length <= MAX_INVENTORIES) return data;
  return {
    ...data,
    nodes: data.nodes.map((node) => ({
      ...node,
      inventory: [],
      omittedInventory: 0,
      quickMark: node.quickMark && withoutGpuFacts(node.quickMark),
    })),
  };
}

function withoutGpuFacts(quickMark: QuickMarkFigures): QuickMarkFigures {
  const { measurement } = quickMark;
  return measurement === null
    ? quickMark
    : { ...quickMark, measurement: { ...measurement, gpus: [] } };
}

/** The job's events are whole in its own report. */
const MAX_EVENT_OF_JOB = 200;

function shortened(message: string): string {
  if (message.length <= MAX_EVENT_OF_JOB) return message;
  return `${cutAt(message, MAX_EVENT_OF_JOB - 1)}…`;
}

/** The data of one node's report: its part of the job's. */
export function taskDataOf(data: ReportData, rank: number): ReportData {
  const nodes = data.nodes.filter((each) => each.rank === rank);
  const own = data.verdict?.nodes.filter((each) => each.rank === rank) ?? [];
  const status = own[0]?.status ?? "unrated";
  return {
    ...data,
    subject: { kind: "task", id: nodes[0]?.taskId ?? "", rank },
    nodes,
    verdict: data.verdict && {
      ...data.verdict,
      status,
      ratedNodes: status === "unrated" ? 0 : 1,
      underperformingNodes: status === "underperforming" ? 1 : 0,
      metrics: own[0]?.metrics ?? [],
      nodes: own,
      isReplayed: own[0]?.isReplayed ?? false,
      findings: own[0]?.findings ?? [],
      moreFindings: own[0]?.moreFindings ?? 0,
    },
    networks: data.networks.map((step) => ({
      ...step,
      links: linksOfNode(step.links, rank),
    })),
    events: data.events.flatMap((event) => {
      if (event.rank === null) return [{ ...event, message: shortened(event.message) }];
      return event.rank === rank ? [event] : [];
    }),
  };
}
