/** The top of the first page: title, and the verdict with its reasons. */

import { groupsOf } from "../../../benchmarks/gpus.ts";
import { type PerformanceStatus, RATED_METRICS } from "../../../lib/enums.ts";
import { percent } from "../../../lib/percent.ts";
import type { MetricVerdict, NodeVerdict } from "../../../lib/stored-json.ts";
import type { ReportData } from "../../report-data.ts";
import { statusShape } from "../charts.ts";
import { type Flow, LEFT, RIGHT, WIDTH } from "../flow.ts";
import { withStepNames } from "../step-names.ts";
import { INK, SIZE, SOFT, STATUS, WASH } from "../theme.ts";
import { capital, count, figure, nodesOf, sentence } from "../writing.ts";
import { networkReasons } from "./judgement.ts";
import { metricName, metricUnit } from "./metrics.ts";

/** Bound of the reasons on the cover; the tables have all of them. */
const MAX_REASONS = 8;
/** Longer reasons are cut on the cover, since agents send whole paragraphs; the tables have all of the text. */
const MAX_REASON_LINES = 4;
/** Bound of the GPU models below the title. */
const MAX_MODELS = 4;

export function title(flow: Flow, data: ReportData): void {
  const { canvas, type } = flow;
  const { job, subject } = data;
  const kind =
    subject.kind === "job" ? "Hardware benchmark report" : "Hardware benchmark report, one node";
  flow.content("P", () => {
    canvas.text(kind, LEFT, flow.y + 4, { size: SIZE.text, face: "bold", colour: SOFT });
  });
  canvas.text("Assay", RIGHT, flow.y + 4, { size: SIZE.heading, face: "bold", align: "right" });
  flow.skip(14);
  canvas.line([LEFT, flow.y], [RIGHT, flow.y], { colour: INK, line: 1.4 });
  flow.skip(8);
  const name = subject.kind === "job" ? job.name : `${job.name}: node ${subject.rank}`;
  flow.content("H1", () => {
    for (const line of type.wrap(name, WIDTH, SIZE.title, "bold")) {
      flow.need(SIZE.title * 1.2);
      flow.canvas.text(line, LEFT, flow.y + SIZE.title, { size: SIZE.title, face: "bold" });
      flow.skip(SIZE.title * 1.2);
    }
  });
  flow.skip(5);
  flow.paragraph(subtitle(data), { colour: SOFT });
  flow.skip(8);
}

function subtitle({ job, subject, nodes }: ReportData): string {
  const gpus = nodes.reduce((sum, node) => sum + (node.gpuCount ?? 0), 0);
  // A machine that failed early has told nothing of its GPUs.
  const hasTold = nodes.length > 0 && nodes.every(({ gpuCount }) => gpuCount === 0);
  const seen = gpus > 0 ? count(gpus, "GPU") : hasTold ? "no GPU" : "no GPUs reported";
  const what =
    subject.kind === "job"
      ? `Job ${subject.id}: ${count(job.currentNodes, "node")}, ${seen}`
      : `Task ${subject.id} of job ${job.id}: ${seen}`;
  const withGpus = nodes.filter(({ gpuCount }) => gpuCount !== 0);
  const models = [
    ...new Set(withGpus.flatMap(({ gpuModel, gpus }) => gpuModel ?? gpus ?? [])),
  ].sort();
  const more = models.length - MAX_MODELS;
  const names = [
    ...models.slice(0, MAX_MODELS),
    ...(more > 0 ? [`and ${count(more, "more model")}`] : []),
  ];
  return [what, ...names].join(", ");
}

/** The verdict and its reasons, before everything else. */
export function verdictPanel(flow: Flow, data: ReportData): void {
  const status = data.verdict?.status ?? "unrated";
  const { colour, word: verdictWord } = STATUS[status];
  const word = data.verdict?.isReplayed === true ? `${verdictWord} (REPLAYED)` : verdictWord;
  const inner = WIDTH - 36;
  const lead = flow.type.wrap(leadOf(data, status), inner, SIZE.text, "bold");
  const reasons = reasonsOf(data).map((reason) => {
    const lines = flow.type.wrap(reason, inner - 20, SIZE.text);
    if (lines.length <= MAX_REASON_LINES) return lines;
    const kept = lines.slice(0, MAX_REASON_LINES);
    return [...kept.slice(0, -1), `${kept.at(-1)} …`];
  });
  const listed = reasons.slice(0, MAX_REASONS);
  const lines = listed.reduce((sum, reason) => sum + reason.length, 0);
  const rest = reasons.length - listed.length;
  const height = 42 + (lead.length + lines + (rest > 0 ? 1 : 0)) * 11.8 + (lines > 0 ? 8 : 2);
  flow.need(height);
  const { canvas } = flow;
  const top = flow.y;
  canvas.rectangle(LEFT, top, WIDTH, height, WASH);
  canvas.rectangle(LEFT, top, 4, height, colour);
  statusShape(canvas, LEFT + 18, top + 13, 13, status);
  flow.content("H2", () => {
    canvas.text(word, LEFT + 39, top + 25, { size: SIZE.verdict, face: "bold", colour });
  });
  let y = top + 45;
  flow.content("P", () => {
    for (const line of lead) {
      canvas.text(line, LEFT + 18, y, { size: SIZE.text, face: "bold" });
      y += 11.8;
    }
  });
  if (lines > 0) y += 4;
  for (const reason of listed) {
    canvas.rectangle(LEFT + 19, y - 4.4, 2.6, 2.6, colour);
    flow.content("P", () => {
      for (const line of reason) {
        canvas.text(line, LEFT + 28, y, { size: SIZE.text });
        y += 11.8;
      }
    });
  }
  if (rest > 0) {
    flow.content("P", () => {
      const style = { size: SIZE.text, colour: SOFT };
      canvas.text(`and ${rest} more, in the tables below`, LEFT + 28, y, style);
    });
  }
  flow.skip(height + 12);
}

function leadOf(
  { verdict, subject, nodes, job, thresholds }: ReportData,
  status: PerformanceStatus,
): string {
  if (verdict === null || verdict.ratedNodes === 0) {
    const measured = nodes.some(({ quickMark }) => quickMark !== null);
    if (job.currentNodes === 0) return "No machine joined, so nothing was measured.";
    return measured
      ? "None of the measured figures could be rated."
      : "No QuickMark result was received, so there is nothing to compare.";
  }
  const line = percent(thresholds.underperformingBelow);
  const one = subject.kind === "task" || verdict.ratedNodes === 1;
  switch (status) {
    case "underperforming":
      return one
        ? `Below ${line} of the baseline for its GPU model.`
        : `${verdict.underperformingNodes} of ${verdict.ratedNodes} rated nodes ${verdict.underperformingNodes === 1 ? "is" : "are"} below ${line} of the baseline for the GPU model.`;
    case "outperforming":
      return `Every rated figure is above ${percent(thresholds.outperformingAbove)} of its baseline.`;
    default:
      return one
        ? `No rated figure is below ${line} of the baseline for its GPU model.`
        : `None of the ${verdict.ratedNodes} rated nodes is below ${line} of the baseline for its GPU model.`;
  }
}

/** The reasons of the verdict, the worst first, then missing parts. */
function reasonsOf(data: ReportData): string[] {
  const { verdict, nodes, job, subject } = data;
  const below = (verdict?.nodes ?? [])
    .filter(({ status }) => status === "underperforming")
    .map((node) => ({ node, ratio: lowest(node) }))
    .sort((a, b) => a.ratio - b.ratio || a.node.rank - b.node.rank)
    .map(({ node }) => belowReason(node));
  const unrated = Map.groupBy(
    (verdict?.nodes ?? []).filter(({ status }) => status === "unrated"),
    (node) =>
      [
        ...new Set(
          node.metrics.flatMap(({ metric, reason }) => (isRated(metric) ? (reason ?? []) : [])),
        ),
      ].join("; "),
  );
  const notRated = [...unrated].map(([reason, list]) => {
    const which = subject.kind === "task" ? "Not rated" : `${capital(nodesOf(list))} not rated`;
    return reason === "" ? `${which}.` : sentence(`${which}${because(reason)}${besides(list)}`);
  });
  const failed = Map.groupBy(
    nodes.filter(({ state, failedMessage }) => failedMessage !== null || state === "failed"),
    (node) => withStepNames(node.failedMessage ?? "failed, no reason was sent", job.steps),
  );
  const failures = [...failed].map(([reason, list]) =>
    sentence(subject.kind === "task" ? capital(reason) : `${capital(nodesOf(list))}: ${reason}`),
  );
  const absent = job.nodeCount - job.currentNodes;
  const missing =
    subject.kind === "job" && absent > 0 ? [`${count(absent, "expected node")} never joined.`] : [];
  const ending = job.state === "aborted" ? ["The job was aborted before it had finished."] : [];
  return [...below, ...networkReasons(data), ...notRated, ...missing, ...failures, ...ending];
}

function isRated(metric: string): boolean {
  return RATED_METRICS.some((rated) => rated === metric);
}

/** The reason of a figure that is not rated. */
function because(reason: string): string {
  const replayed = "REPLAYED: ";
  return reason.startsWith(replayed)
    ? ` (REPLAYED): ${reason.slice(replayed.length)}`
    : `: ${reason}`;
}

/** What another method says of a single node's figures, which is no verdict. */
function besides(nodes: readonly NodeVerdict[]): string {
  const [node] = nodes;
  if (node === undefined || nodes.length > 1) return "";
  const shares = node.metrics.flatMap(({ metric, reference }) => {
    if (reference === null) return [];
    const of = reference.of === "shipped" ? "the shipped median" : "the data sheet";
    return [`${metricName(metric)} ${percent(reference.ratio)} of ${of}`];
  });
  return shares.length === 0
    ? ""
    : `; not a verdict, since measured by another method: ${shares.join(", ")}`;
}

function lowest(node: NodeVerdict): number {
  return node.metrics.reduce(
    (least, { ratio }) => Math.min(least, ratio ?? least),
    Number.POSITIVE_INFINITY,
  );
}

function belowReason(node: NodeVerdict): string {
  const figures = node.metrics
    .filter(({ status }) => status === "underperforming")
    .map(
      (metric) => (node.gpuModels === null ? "" : `${metric.gpuModel}: `) + metricSentence(metric),
    );
  const groups = groupsOf(node).map(({ model, count }) => `${count ?? 1} × ${model}`);
  const model = groups.length === 0 ? "" : ` (${groups.join(", ")})`;
  return sentence(`Node ${node.rank}${model}: ${figures.join("; ")}`);
}

function metricSentence({ metric, value, baseline, ratio }: MetricVerdict): string {
  const name = metricName(metric);
  if (value === null || baseline === null || ratio === null) return name;
  const unit = metricUnit(metric);
  return `${name} ${figure(value)} ${unit} per GPU, ${percent(ratio)} of the baseline of ${figure(baseline)}`;
}
