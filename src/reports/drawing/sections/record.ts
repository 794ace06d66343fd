/** The record of the job: steps, machines, events and method. */
import { MAX_INVENTORIES, type ReportData, type ReportNode } from "../../report-data.ts";
import type { Flow } from "../flow.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { capital, duration, ranks, threshold, time, words } from "../writing.ts";

/** Printed characters of one inventory: about two pages. */
const MAX_INVENTORY_CHARACTERS = 8_000;

/** Nodes with a wrong clock that are named. */
const MAX_CLOCKS = 8;

/** The steps of the job, or of the one node. */
export function steps(flow: Flow, { job, nodes, subject }: ReportData): void {
  flow.heading("Steps", 50);
  const rows = job.steps.map((step, position) => {
    const each = nodes.flatMap(({ steps: own }) => own[position] ?? []);
    const ended = each.filter(({ state }) => state === "completed").length;
    const own = subject.kind === "task" ? each[0] : step.isCluster ? step : undefined;
    const of = own ?? spanOf(each);
    return [
      `${position + 1}`,
      step.config === null ? step.name : `${step.name} ${step.config}`,
      own === undefined ? `completed on ${ended} of ${job.nodeCount} nodes` : words(own.state),
      of.startedAt === null ? "–" : time(of.startedAt),
      of.startedAt === null || of.endedAt === null ? "–" : duration(of.endedAt - of.startedAt),
      own?.errorMessage ?? "",
    ];
  });
  table(
    flow,
    [
      { title: "", width: 16 },
      { title: "Benchmark", width: 110 },
      { title: "State", width: 105 },
      { title: "Started", width: 96 },
      { title: "Duration", width: 58 },
      { title: "Remark", width: 120 },
    ],
    rows,
  );
  const corrected = clocks(nodes);
  if (corrected !== null) flow.paragraph(corrected, { size: SIZE.small, colour: SOFT });
}

/** Nodes whose clocks were off, for their steps are not shown with the times that they sent; null without one. */
function clocks(nodes: readonly ReportNode[]): string | null {
  const off = nodes.flatMap(({ rank, steps: own }) => {
    const skew = own.findLast(({ clockSkewMs }) => clockSkewMs !== null)?.clockSkewMs ?? null;
    if (skew === null) return [];
    return `node ${rank} (${duration(Math.abs(skew))} ${skew > 0 ? "ahead" : "behind"})`;
  });
  if (off.length === 0) return null;
  const more = off.length > MAX_CLOCKS ? ` and ${off.length - MAX_CLOCKS} more` : "";
  return `Times are by the server's clock. The clocks of these nodes differed by more than 5 s, which was subtracted: ${off.slice(0, MAX_CLOCKS).join(", ")}${more}.`;
}

/** First start and last end over the nodes, as a single-node step has no times in the job. */
function spanOf(steps: readonly { startedAt: number | null; endedAt: number | null }[]) {
  const starts = steps.flatMap(({ startedAt }) => startedAt ?? []);
  const ends = steps.flatMap(({ endedAt }) => endedAt ?? []);
  return {
    startedAt: starts.length === 0 ? null : Math.min(...starts),
    endedAt: ends.length === 0 ? null : Math.max(...ends),
  };
}

export function machines(flow: Flow, { nodes, subject }: ReportData): void {
  if (nodes.length === 0) return;
  if (subject.kind === "job") {
    flow.heading("Machines", 50);
    table(
      flow,
      [
        { title: "Node", width: 28 },
        { title: "Machine UUID", width: 146 },
        { title: "Address", width: 80 },
        { title: "Agent", width: 48 },
        { title: "Joined", width: 92 },
        { title: "Remark", width: 111 },
      ],
      nodes.map((node) => [
        String(node.rank),
        node.machineUuid,
        node.machineIp ?? "–",
        node.agentVersion ?? "–",
        time(node.joinedAt),
        node.failedMessage ?? "",
      ]),
      { dense: nodes.length > 40 },
    );
  }
  if (nodes.length <= MAX_INVENTORIES) inventory(flow, nodes);
  else {
    const style = { size: SIZE.small, colour: SOFT };
    flow.paragraph("The inventory of each node is in the node's own report.", style);
  }
  if (subject.kind === "task") gpuIdentifiers(flow, nodes);
}

/** Machines with the same inventory share a table. */
function inventory(flow: Flow, nodes: ReportData["nodes"]): void {
  const alike = Map.groupBy(
    nodes.filter((node) => node.inventory.length > 0),
    (node) => JSON.stringify([node.inventory, node.omittedInventory]),
  );
  if (alike.size === 0) return;
  flow.heading("Inventory", 60, "As reported by the machines when they joined, unverified.");
  for (const list of alike.values()) {
    const [first] = list;
    if (first === undefined) continue;
    const which = list.length === 1 ? "Node" : "Nodes";
    flow.subheading(`${which} ${ranks(list.map(({ rank }) => rank))}`, 30);
    // Two columns of names and values.
    const half = Math.ceil(first.inventory.length / 2);
    const pair = (at: number) => {
      const [name = "", value = ""] = first.inventory[at] ?? [];
      return [{ text: name, colour: SOFT }, value];
    };
    const rows = Array.from({ length: half }, (_, at) => [...pair(at), ...pair(at + half)]);
    table(
      flow,
      [
        { title: "Name", width: 112 },
        { title: "Value", width: 140 },
        { title: half < first.inventory.length ? "Name" : "", width: 112 },
        { title: half < first.inventory.length ? "Value" : "", width: 140 },
      ],
      rows,
      { dense: true, maxCharacters: MAX_INVENTORY_CHARACTERS },
    );
    if (first.omittedInventory > 0) {
      flow.paragraph(`${first.omittedInventory} more values are not shown.`, {
        size: SIZE.small,
        colour: SOFT,
      });
    }
  }
}

function gpuIdentifiers(flow: Flow, nodes: ReportData["nodes"]): void {
  const rows = nodes.flatMap(({ quickMark }) =>
    (quickMark?.gpus ?? []).map(({ id }, at) => [`GPU ${at}`, id]),
  );
  if (rows.length === 0) return;
  flow.subheading("GPU identifiers, as reported by the agent", 40);
  table(
    flow,
    [
      { title: "GPU", width: 60 },
      { title: "Identifier", width: 300 },
    ],
    rows,
    { dense: true },
  );
}

export function events(flow: Flow, { events: list }: ReportData): void {
  if (list.length === 0) return;
  flow.heading("Events", 50);
  table(
    flow,
    [
      { title: "Time", width: 100 },
      { title: "Node", width: 34 },
      { title: "Event", width: 66 },
      { title: "Description", width: 304 },
    ],
    list.map(({ at, rank, kind, message }) => [
      time(at),
      rank === null ? "" : String(rank),
      words(kind),
      capital(message),
    ]),
    { dense: list.length > 40 },
  );
}

/** Explains the measurement and the rating. */
export function method(flow: Flow, { thresholds, networks }: ReportData): void {
  const under = threshold(thresholds.underperformingBelow);
  const over = threshold(thresholds.outperformingAbove);
  flow.heading("Method", 120);
  const paragraphs = [
    "An agent on each machine ran the benchmarks and sent the results to the server, which validated their form and stored each result once. Stored results cannot be changed. The times of a node's benchmarks are by that machine's own clock, all other times by the server's clock.",
    "QuickMark loads the GPUs of a node with matrix products in several precisions and measures memory and host bandwidth, first on each GPU alone, then on all at once. A node is rated by two figures of the pass with all GPUs, each divided by the number of GPUs: BF16 throughput and memory bandwidth.",
    `Each figure is compared with the baseline of the GPU model and of the method that measured it: a value set by an administrator, else the highest of three medians: of the customer's own machines of the model (own fleet), of the medians of at least three customers (fleet), both of at least ${thresholds.fleetMinMachines} machines, and of the runs recorded before this version was released (shipped). It is the baseline that was known when the job was first rated; the figure of a single machine gives no verdict. A figure below ${under} of its baseline is underperforming. A node is underperforming when one of its figures is, outperforming when all are above ${over}, and as expected otherwise. A job is underperforming when any of its nodes is.`,
    "A node without a baseline, or without the figures to compare, is not rated, which says nothing about its performance. Implausible figures are marked and never rated, and figures computed from them are left out. The same holds for figures that were measured while the GPUs were busy, and for GPUs that failed a check.",
    "Findings need no baseline: they compare the GPUs of a node, the nodes of the job that were measured by the same method, and the machine's own last job, and tell of its health and of figures that no such GPU can reach.",
    ...(networks.length === 0
      ? []
      : [
          "Cluster network measures every directed pair of nodes over TCP, in rounds in which no node takes part twice. A failed link counts as tested but is left out of the averages.",
        ]),
  ];
  for (const text of paragraphs) {
    flow.paragraph(text);
    flow.skip(4);
  }
}
