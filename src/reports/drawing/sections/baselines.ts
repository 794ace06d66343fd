/** What the figures were compared with: whose figures, how many, how far apart, and how old. */
import { dataSheetOf } from "../../../benchmarks/data-sheets.ts";
import { normalizeModel } from "../../../benchmarks/models.ts";
import { SHIPPED, SHIPPED_SOURCE } from "../../../benchmarks/shipped-baselines.ts";
import type { BaselineSource, RatedMetric } from "../../../lib/enums.ts";
import type { MetricVerdict } from "../../../lib/stored-json.ts";
import { isRated } from "../../../scoreboard/facts.ts";
import type { ReportData } from "../../report-data.ts";
import type { Canvas } from "../canvas.ts";
import { boxPlot, type Spread } from "../charts.ts";
import type { Flow } from "../flow.ts";
import { type Cell, table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { count, figure, time } from "../writing.ts";
import { metricName, metricUnit } from "./metrics.ts";

/** The nodes that are marked beside the spread: of more a sample. */
const MAX_MARKED = 40;

interface Compared {
  model: string;
  metric: MetricVerdict;
  /** The figures of the nodes that were compared. */
  values: number[];
}

export function baselines(flow: Flow, { verdict, nodes }: ReportData): void {
  if (nodes.every(({ quickMark }) => quickMark === null)) return;
  const seen = new Map<string, Compared>();
  for (const node of verdict?.nodes ?? []) {
    for (const metric of node.metrics) {
      if (metric.baseline === null) continue;
      const model = metric.gpuModel ?? node.gpuModel ?? "unknown model";
      const key = `${model}|${metric.metric}|${metric.methodClass}`;
      const known = seen.get(key) ?? { model, metric, values: [] };
      if (metric.value !== null) known.values.push(metric.value);
      seen.set(key, known);
    }
  }
  const rows = [...seen.values()].sort((a, b) =>
    a.model < b.model ? -1 : a.model > b.model ? 1 : 0,
  );
  const hasBoxes = rows.some(({ model, metric }) => spreadOf(model, metric)?.quartiles != null);
  const box = hasBoxes ? "the box spans the middle half of the figures behind it, " : "";
  const version =
    verdict === null ? "" : `Version ${verdict.baselineVersion} of the server's baselines. `;
  flow.heading(
    "Baselines",
    50,
    `${version}Figures per GPU. In each spread the line is the baseline, ${box}the whiskers reach from the lowest to the highest figure behind it, and triangles are the nodes of this report. A baseline from a single machine rates nothing. Data sheets are for information only: healthy machines reach 54–85 % of them.`,
  );
  if (rows.length === 0) {
    flow.paragraph("No figure of this report has a baseline.", { colour: SOFT });
    return;
  }
  const right = "right" as const;
  table(
    flow,
    [
      { title: "GPU model", width: 92 },
      { title: "Metric", width: 62 },
      { title: "Method class", width: 52 },
      { title: "Baseline", width: 58, align: right },
      { title: "Spread", width: 80 },
      { title: "Source", width: 60 },
      { title: "Based on", width: 52, align: right },
      { title: "Data sheet", width: 49, align: right },
    ],
    rows.map((row) => rowOf(row)),
  );
  if (rows.some(({ metric }) => metric.source === "shipped")) {
    flow.paragraph(
      `Shipped medians: ${SHIPPED_SOURCE}. Their source has minimum, median and maximum only: quartiles are not recorded, so these spreads have no box.`,
      {
        size: SIZE.small,
        colour: SOFT,
      },
    );
  }
}

function rowOf({ model, metric, values }: Compared): Cell[] {
  const unit = metricUnit(metric.metric);
  const sheet = dataSheetOf(model);
  const promised = metric.metric === "bf16_tflops" ? sheet?.bf16Tflops : sheet?.memoryBandwidthGbs;
  const spread = spreadOf(model, metric);
  return [
    model,
    metricName(metric.metric),
    metric.methodClass,
    { text: `${figure(metric.baseline ?? 0)} ${unit}`, face: "bold" as const },
    spread === null
      ? { text: "not known", colour: SOFT }
      : {
          draw: (canvas, x, y, width, height) =>
            drawSpread(canvas, { x, y, width, height }, spread, sampled(values)),
          alt: `from ${figure(spread.low)} to ${figure(spread.high)}, ${boxOf(spread)}`,
        },
    metric.source === null ? "–" : SOURCES[metric.source],
    behind(metric),
    promised === undefined ? "–" : `${figure(promised)} ${unit}`,
  ];
}

function boxOf({ quartiles }: Spread): string {
  if (quartiles === null) return "quartiles not recorded";
  return `middle half from ${figure(quartiles[0])} to ${figure(quartiles[1])}`;
}

/** The plot, and below it what a box would show. */
function drawSpread(
  canvas: Canvas,
  place: { x: number; y: number; width: number; height: number },
  spread: Spread,
  own: readonly number[],
): void {
  boxPlot(canvas, place, spread, own);
  if (spread.quartiles !== null) return;
  const { x, y, width, height } = place;
  const style = { size: SIZE.tiny, colour: SOFT, align: "centre" as const };
  canvas.text(boxOf(spread), x + width / 2, y + height + 7, style);
}

/** Some of many, always the ends. */
function sampled(values: readonly number[]): number[] {
  if (values.length <= MAX_MARKED) return [...values];
  const sorted = values.toSorted((a, b) => a - b);
  const step = (sorted.length - 1) / (MAX_MARKED - 1);
  return Array.from({ length: MAX_MARKED }, (_, at) => sorted[Math.round(at * step)] ?? 0);
}

const SOURCES: Readonly<Record<BaselineSource, string>> = {
  pinned: "set by an administrator",
  own_fleet: "median of own fleet",
  fleet: "median over customers (fleet)",
  shipped: "shipped median of recorded runs",
};

/** The machines, customers or runs that the baseline is the median of, and when it was computed. */
function behind({ source, sampleSize, spread }: MetricVerdict): string {
  if (sampleSize === null) return "–";
  const behind = source === "shipped" ? "run" : "machine";
  const customers = spread?.customers == null ? [] : [count(spread.customers, "customer")];
  const age = spread?.at == null ? [] : [time(spread.at).slice(0, 10)];
  return [
    count(sampleSize, behind),
    ...customers,
    ...age,
    ...(source === "shipped" ? ["2025-12"] : []),
  ].join("\n");
}

function spreadOf(
  model: string,
  { metric, source, baseline, spread }: MetricVerdict,
): Spread | null {
  if (baseline === null || !isRated(metric)) return null;
  if (source === "shipped") return shippedSpread(model, metric);
  if (spread == null) return null;
  const { low, high, quartiles } = spread;
  return { low, high, quartiles, median: baseline };
}

function shippedSpread(model: string, metric: RatedMetric): Spread | null {
  const shipped = SHIPPED.get(normalizeModel(model) ?? "")?.[metric];
  if (shipped === undefined) return null;
  const { min: low, max: high, median } = shipped;
  return { low, high, median, quartiles: null };
}
