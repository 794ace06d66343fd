/** What ran when on which machine, how it was judged, and how to check the report. */
import type { ReportData } from "../../report-data.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { capital, duration, ranks, threshold, time, words } from "../writing.ts";

/** Steps as the job, or the one node, went through them. */
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
      { title: "Took", width: 58 },
      { title: "Remark", width: 120 },
    ],
    rows,
  );
}

/** From the first start to the last end: a step of single nodes has no time of its own in the job. */
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
  inventory(flow, nodes);
  if (subject.kind === "task") gpuIdentifiers(flow, nodes);
}

/** Machines that said the same of themselves stand together. */
function inventory(flow: Flow, nodes: ReportData["nodes"]): void {
  const alike = Map.groupBy(
    nodes.filter((node) => node.inventory.length > 0),
    (node) => JSON.stringify([node.inventory, node.omittedInventory]),
  );
  if (alike.size === 0) return;
  flow.heading(
    "Inventory",
    60,
    "What the machines said of themselves when they joined; taken as it came.",
  );
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
      { dense: true },
    );
    if (first.omittedInventory > 0) {
      flow.paragraph(`${first.omittedInventory} more values are left out here.`, {
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
  flow.subheading("GPU identifiers, as the driver gives them", 40);
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
      { title: "In words", width: 304 },
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

/** How figures came about and were judged, for a reader who has never heard of any of it. */
export function method(
  flow: Flow,
  { thresholds, networks, origin, subject }: ReportData,
  hash: string,
): void {
  const under = threshold(thresholds.underperformingBelow);
  const over = threshold(thresholds.outperformingAbove);
  flow.heading("Method", 120);
  const paragraphs = [
    "An agent on each machine ran the benchmarks and sent its results to the server, which checked their form and stored each of them once. Results cannot be changed afterwards. Times within a node's benchmarks are by that machine's own clock, all others by the server's.",
    "QuickMark loads the GPUs of a node with matrix products in several precisions and measures memory and host bandwidth, first on each GPU alone, then on all at once. A node is rated by two figures of the pass with all GPUs, each divided by the number of GPUs: BF16 throughput and memory bandwidth.",
    `Each of them is compared with the baseline of the GPU model: the median of this deployment's own completed results once there are at least ${thresholds.fleetMinMachines} machines of the model, or the median measured before this version was released; with both, the higher one. A figure below ${under} of its baseline is underperforming. A node is underperforming when one of its figures is, outperforming when all are above ${over}, and as expected otherwise. A job is underperforming when any of its nodes is.`,
    "A node without a baseline, or without the figures to compare, is not rated; that says nothing good or bad of it. Sensor readings that cannot be true are marked, and what is computed from them is left out.",
    ...(networks.length === 0
      ? []
      : [
          "Cluster network measures every directed pair of nodes over TCP, in rounds in which no node takes part twice. A link with an error counts as tested, and not in the averages.",
        ]),
  ];
  for (const text of paragraphs) {
    flow.paragraph(text);
    flow.skip(4);
  }
  flow.heading("How to check this report", 70);
  const part = subject.kind === "job" ? "job" : "node";
  flow.paragraph(
    `The hash below stands for everything that is reported here. Anyone can ask the server for it, without an account: it answers which ${part} the report is about, when it ran, the verdict, the SHA-256 of this file, and whether there is a newer report.`,
  );
  flow.skip(5);
  flow.canvas.text("Content hash", LEFT, flow.y + 7, { size: SIZE.tiny, colour: SOFT });
  flow.canvas.text(hash, LEFT + 70, flow.y + 7, { size: SIZE.small, face: "bold" });
  flow.skip(14);
  const path = `/api/silicon-mark/v1/reports/${hash}`;
  flow.canvas.text("Address", LEFT, flow.y + 7, { size: SIZE.tiny, colour: SOFT });
  const url = `${origin ?? ""}${path}`;
  for (const line of flow.type.wrap(url, WIDTH - 70, SIZE.small)) {
    const width = flow.canvas.text(line, LEFT + 70, flow.y + 7, { size: SIZE.small });
    if (origin !== null) flow.canvas.link({ x: LEFT + 70, y: flow.y, width, height: 10, url });
    flow.skip(10);
  }
  if (origin === null) {
    flow.paragraph("on the server that made this report", {
      indent: 70,
      size: SIZE.small,
      colour: SOFT,
    });
  }
}
