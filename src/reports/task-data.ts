import type { ReportData } from "./report-data.ts";

/** The data of one node's report, cut from that of its job. */
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
    },
    networks: data.networks.map((step) => ({
      ...step,
      links: step.links.filter(([source, target]) => source === rank || target === rank),
    })),
    events: data.events.filter((event) => event.rank === null || event.rank === rank),
  };
}
