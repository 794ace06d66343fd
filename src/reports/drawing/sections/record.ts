/** The record of the job: steps, events and method. */
import { MIN_LINKS, SLOW_LINK } from "../../../benchmarks/link-judgement.ts";
import type { JobEventKind } from "../../../lib/enums.ts";
import { percent } from "../../../lib/percent.ts";
import type { ReportData, ReportNode, ReportStep } from "../../report-data.ts";
import type { Flow } from "../flow.ts";
import { stepName, withStepNames } from "../step-names.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { capital, duration, time, words } from "../writing.ts";

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
      benchmarkOf(step),
      own === undefined ? `completed on ${ended} of ${job.nodeCount} nodes` : words(own.state),
      of.startedAt === null ? "–" : time(of.startedAt),
      of.startedAt === null || of.endedAt === null ? "–" : duration(of.endedAt - of.startedAt),
      withStepNames(own?.errorMessage ?? "", job.steps),
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

/** The name of a step with its options, such as "HostMark (disk: no)". */
function benchmarkOf(step: Pick<ReportStep, "key" | "name" | "config">): string {
  const options = Object.entries(step.config === null ? {} : JSON.parse(step.config));
  const list = options.map(([name, value]) => `${words(name)}: ${optionOf(value)}`);
  return list.length === 0 ? stepName(step) : `${stepName(step)} (${list.join(", ")})`;
}

function optionOf(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "string" ? value : JSON.stringify(value);
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
  return `Times are by the server's clock. The clocks of these nodes were off by more than 5 s, and their times are corrected: ${off.slice(0, MAX_CLOCKS).join(", ")}${more}.`;
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

const EVENTS: Readonly<Record<JobEventKind, string>> = {
  joined: "joined",
  lost: "lost",
  returned: "returned",
  step_started: "step started",
  step_ended: "step ended",
  settled: "job ended",
};

function isEvent(kind: string): kind is JobEventKind {
  return Object.hasOwn(EVENTS, kind);
}

export function events(flow: Flow, { job, events: list }: ReportData): void {
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
      isEvent(kind) ? EVENTS[kind] : words(kind),
      capital(withStepNames(message, job.steps)),
    ]),
    { dense: list.length > 40 },
  );
}

/** The height of a paragraph's distance to the next, points. */
const PARAGRAPH_GAP = 4;
/** The last page has at least this much, points: about a third of it. */
const LEAST_ON_LAST_PAGE = 230;

/**
 * Explains the measurement and the rating.
 *
 * @param following height of what follows: the last page gets enough paragraphs of this section not to be nearly empty
 */
export function method(flow: Flow, data: ReportData, following: number): void {
  flow.heading("Method", 120);
  const paragraphs = methodOf(data);
  const left = paragraphs.map((text) => flow.heightOf(text) + PARAGRAPH_GAP);
  for (const text of paragraphs) {
    const rest = left.reduce((sum, height) => sum + height, following);
    const next = rest - (left.shift() ?? 0);
    const isLast = rest <= flow.pageHeight;
    if (isLast && rest > flow.room && next < LEAST_ON_LAST_PAGE) flow.newPage();
    flow.paragraph(text);
    flow.skip(PARAGRAPH_GAP);
  }
}

function methodOf({ thresholds, networks }: ReportData): string[] {
  const under = percent(thresholds.underperformingBelow);
  const over = percent(thresholds.outperformingAbove);
  const link = percent(SLOW_LINK);
  return [
    "An agent on each machine ran the benchmarks and sent the results to the server, which checked their form and stored each result once. Stored results cannot be changed. The times of a node's benchmarks are by that machine's own clock, corrected where it was off by more than 5 s; all other times are by the server's clock.",
    "QuickMark loads the GPUs of a node with matrix products in several precisions, and measures the bandwidth of their memory and of copies from and to the host. A node is rated by two figures with all GPUs at work, each divided by the number of GPUs: BF16 throughput and memory bandwidth.",
    `Each figure is compared with a baseline of the same GPU model and of the same class of method. An administrator may set it; otherwise it is the highest of three medians: that of the customer's own machines (own fleet), that of the medians of at least three customers (fleet), both of at least ${thresholds.fleetMinMachines} machines, and that of the runs that are shipped with Assay (shipped). The baseline is the one known when the job was first rated. A baseline from a single machine rates nothing. A figure below ${under} of its baseline is underperforming. A node is underperforming when one of its figures is, outperforming when all are above ${over}, and as expected otherwise. A job is underperforming when any of its nodes is.`,
    "A node without a baseline, or without the figures to compare, is not rated, which says nothing about its performance. Implausible figures are marked and never rated, and figures computed from them are left out. Figures that were measured while the GPUs were busy, and those of GPUs that failed a check, are not rated either.",
    "Findings need no baseline. They compare the GPUs of a node, the nodes of the job that were measured by the same method, their links, and the machine's own last job. They also report faults of the hardware, and figures that no such GPU can reach.",
    ...(networks.length === 0
      ? []
      : [
          `Cluster Network measures each link between two nodes over TCP, in both directions, in rounds in which no node takes part twice. A failed link counts as tested but not in the averages. From ${MIN_LINKS} links on, they are compared with their median. A link below ${link} of it is slow, and so is a node all of whose links are below ${link} of the median of the other nodes' links. A direction is slow below ${link} of the other direction.`,
        ]),
  ];
}
