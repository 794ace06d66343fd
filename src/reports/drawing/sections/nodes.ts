/** The nodes compared with their baselines, and with each other. */

import { summarizeValues } from "../../../benchmarks/statistics.ts";
import { RATED_METRICS } from "../../../lib/enums.ts";
import { columnPercent, percent } from "../../../lib/percent.ts";
import type { MetricVerdict, NodeVerdict } from "../../../lib/stored-json.ts";
import { lowestMetric } from "../../../scoreboard/facts.ts";
import type { ReportData, ReportNode } from "../../report-data.ts";
import { distribution, ratioBar, statusShape } from "../charts.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { machineNames } from "../machine-names.ts";
import { type Cell, table } from "../table.ts";
import { SIZE, SOFT, STATUS, WARNING } from "../theme.ts";
import { count, figure, words } from "../writing.ts";
import { MARK } from "./gpus.ts";
import { metricName, metricUnit } from "./metrics.ts";

/** A table with more rows is dense. */
const MAX_ROOMY_ROWS = 40;

/** True when the table is so long that its summary comes first. */
export function isLong({ nodes }: ReportData): boolean {
  return nodes.length > MAX_ROOMY_ROWS;
}

export function nodeTable(flow: Flow, data: ReportData): void {
  const { nodes, verdict, thresholds } = data;
  if (nodes.length === 0) return;
  const under = percent(thresholds.underperformingBelow);
  const isMarked = nodes.some((node) => RATED_METRICS.some((name) => isImplausible(node, name)));
  flow.heading(
    data.subject.kind === "job" ? "Nodes" : "Node",
    60,
    `Figures per GPU, with all GPUs of the node at work: their total, divided by their number. The solid line marks the baseline, the dashed line ${under} of it.${isMarked ? ` ${MARK} marks implausible readings.` : ""}`,
  );
  const verdicts = new Map(verdict?.nodes.map((node) => [node.rank, node]));
  const names = machineNames(nodes);
  const dense = isLong(data);
  table(
    flow,
    [
      { title: "", width: 12 },
      { title: "Node", width: 24 },
      { title: "Machine", width: 84 },
      { title: "GPUs", width: 101 },
      { title: "State", width: 50 },
      ...RATED_METRICS.flatMap((metric) => [
        {
          title: metric === "bf16_tflops" ? "BF16" : "Memory",
          unit: metricUnit(metric),
          width: 36,
          align: "right" as const,
        },
        { title: "", width: 44 },
        { title: "Of baseline", width: 37, align: "right" as const },
      ]),
    ],
    nodes.map((node) =>
      nodeRow(
        node,
        names.get(node.rank) ?? "",
        verdicts.get(node.rank),
        thresholds.underperformingBelow,
      ),
    ),
    { dense },
  );
}

function nodeRow(
  node: ReportNode,
  name: string,
  verdict: NodeVerdict | undefined,
  under: number,
): Cell[] {
  const status = verdict?.status ?? "unrated";
  return [
    {
      draw: (canvas, x, y, _width, height) => statusShape(canvas, x, y + height / 2 - 3, 6, status),
      alt: STATUS[status].word,
    },
    { text: String(node.rank), face: "bold" },
    name,
    node.gpus ?? "not stated",
    words(node.state),
    ...RATED_METRICS.flatMap((name) => {
      const metric = verdict && lowestMetric(verdict.metrics, name);
      const cells = metricCells(metric, perGpu(node, name), under);
      const [text] = cells;
      return isImplausible(node, name) && typeof text === "string" && text !== "–"
        ? [{ text: `${MARK} ${text}`, face: "bold" as const, colour: WARNING }, ...cells.slice(1)]
        : cells;
    }),
  ];
}

function isImplausible({ quickMark }: ReportNode, metric: string): boolean {
  return quickMark !== null && metric in quickMark.implausible;
}

/** A node's figure divided by its number of GPUs; null for a figure that was not sent. */
export function perGpu(node: ReportNode, metric: string): number | null {
  const total = node.quickMark?.aggregate[metric];
  const isMixed = node.gpuModel === null && node.gpus !== null;
  return total === undefined || isMixed ? null : total / (node.gpuCount ?? 1);
}

function metricCells(metric: MetricVerdict | undefined, own: number | null, under: number): Cell[] {
  const value = metric?.value ?? own;
  const text = value === null ? "–" : figure(value);
  if (metric === undefined || metric.ratio === null) {
    return [text, "", value === null ? "" : { text: "not rated", colour: SOFT }];
  }
  const { ratio, status } = metric;
  const isLow = status === "underperforming";
  return [
    text,
    {
      draw: (canvas, x, y, width, height) => {
        const place = { x: x + 2, y: y + height / 2 - 2.5, width, height: 5 };
        ratioBar(canvas, place, ratio, under, status);
      },
    },
    status === "unrated"
      ? { text: columnPercent(ratio), colour: SOFT }
      : isLow
        ? { text: columnPercent(ratio), face: "bold", colour: STATUS[status].colour }
        : columnPercent(ratio),
  ];
}

/** The distribution of each rated metric over the nodes of a model. */
export function distributions(flow: Flow, { nodes, verdict }: ReportData): void {
  const byModel = Map.groupBy(
    nodes.filter(({ quickMark }) => quickMark !== null),
    (node) => node.gpuModel ?? node.gpus ?? "unknown model",
  );
  const several = [...byModel].filter(([, list]) => list.length > 1);
  if (several.length === 0) return;
  flow.heading(
    "Distribution over nodes",
    80,
    "Figures per GPU. Each node is a line; many nodes are a histogram. The triangle marks the median.",
  );
  const width = (WIDTH - 30) / 2;
  for (const [model, list] of several.sort(([a], [b]) => (a < b ? -1 : 1))) {
    flow.subheading(`${model}, ${count(list.length, "node")}`, 62);
    for (const [side, metric] of RATED_METRICS.entries()) {
      const values = list.flatMap((node) =>
        node.quickMark && metric in node.quickMark.implausible ? [] : (perGpu(node, metric) ?? []),
      );
      const summary = summarizeValues(values, false);
      if (summary === null) continue;
      const x = LEFT + side * (width + 30);
      const { canvas } = flow;
      const first = verdict?.nodes.find((node) => node.gpuModel === model);
      const baseline = first?.metrics.find((each) => each.metric === metric)?.baseline ?? null;
      const unit = metricUnit(metric);
      const text = `min ${figure(summary.min)}   median ${figure(summary.median)}   max ${figure(summary.max)}`;
      flow.content(
        "Figure",
        () => {
          canvas.text(`${metricName(metric)}, ${unit}`, x, flow.y + 6, {
            size: SIZE.tiny,
            colour: SOFT,
          });
          distribution(canvas, { x, y: flow.y + 14, width, height: 26 }, values, {
            median: summary.median,
            baseline,
          });
          canvas.text(text, x, flow.y + 61, { size: SIZE.tiny });
        },
        `Distribution of ${metricName(metric)} over ${count(list.length, "node")}, ${unit}: ${text}`,
      );
    }
    flow.skip(72);
  }
}
