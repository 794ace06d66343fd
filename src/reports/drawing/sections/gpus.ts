/** Figures and sensor readings of each GPU. */
import { hostMark } from "../../../benchmarks/host-mark.ts";
import { summarizeValues } from "../../../benchmarks/statistics.ts";
import { percent } from "../../../lib/percent.ts";
import type { Faults, Figures, ReportData, ReportNode } from "../../report-data.ts";
import { distribution } from "../charts.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { type Cell, type Row, table } from "../table.ts";
import { SIZE, SOFT, WARNING } from "../theme.ts";
import { capital, count, figure, label } from "../writing.ts";
import { GPU_COLUMNS, metricName, metricUnit, PER_WATT_COLUMNS } from "./metrics.ts";

export const MARK = "!";
/** As `scoreboard/findings.ts` has it. */
const SLOW_DIRECTION = 0.6;
/** Bound of the table of implausible readings; the others are only marked beside their figures. */
const MAX_IMPLAUSIBLE = 40;

export function gpuTable(flow: Flow, { nodes }: ReportData): void {
  const measured = nodes.filter(({ quickMark }) => quickMark !== null);
  if (measured.length === 0) return;
  flow.heading(
    "Figures by GPU",
    60,
    `${passesOf(measured)} ${MARK} marks implausible readings, a triangle copies between host and GPU below ${percent(SLOW_DIRECTION)} of the other direction, a dash figures that were not sent. TF32 runs on tensor cores, FP32 on CUDA cores. To GPU, To host: copies between the host's memory and the GPU.`,
  );
  const width = (WIDTH - 58) / GPU_COLUMNS.length;
  table(
    flow,
    [
      { title: "GPU", width: 58 },
      ...GPU_COLUMNS.map(([metric, title]) => ({
        title,
        unit: metricUnit(metric),
        width,
        align: "right" as const,
      })),
    ],
    gpuRows(measured),
    { dense: true },
  );
}

/** Assay's agent measures all GPUs of a machine at once, other agents in passes of their own. */
function passesOf(nodes: readonly ReportNode[]): string {
  const own = nodes.filter(({ quickMark }) => quickMark?.measurement != null).length;
  const together =
    'All GPUs of a machine are measured at the same time; "all at once" is their sum, for launches their mean.';
  const apart =
    'Each GPU is measured alone; "all at once" is a separate pass with all GPUs of the node, which shows contention.';
  if (own === nodes.length) return together;
  return own === 0 ? apart : `By Assay's agent: ${together} By others: ${apart}`;
}

function* gpuRows(nodes: readonly ReportNode[]): Generator<Row> {
  for (const { rank, gpus, quickMark } of nodes) {
    if (quickMark === null) continue;
    const replayed = quickMark.isReplayed ? ", replayed" : "";
    yield { group: `Node ${rank}: ${gpus ?? "unknown GPUs"}${replayed}` };
    yield figureRow(
      { text: "all at once", face: "bold" },
      quickMark.aggregate,
      quickMark.implausible,
    );
    for (const [at, gpu] of quickMark.gpus.entries()) {
      yield figureRow(`GPU ${at}`, gpu.figures, gpu.implausible);
    }
  }
}

function figureRow(name: Cell, figures: Figures, implausible: Faults): Cell[] {
  const slow = slowDirection(figures, implausible);
  const cells = GPU_COLUMNS.map(([metric]): Cell => {
    if (metric !== slow) return figureCell(metric, figures, implausible);
    return { text: `▼ ${figure(figures[metric] ?? 0)}`, face: "bold", colour: WARNING };
  });
  return [name, ...cells];
}

const COPIES = ["host_to_device_bandwidth_gbs", "device_to_host_bandwidth_gbs"] as const;

/** The direction between host and GPU that is far slower than the other; null for none. */
function slowDirection(figures: Figures, implausible: Faults): string | null {
  const [[slow, low = 0] = ["", 0], [, high = 0] = []] = COPIES.map(
    (metric) => [metric, figures[metric]] as const,
  ).toSorted(([, a = 0], [, b = 0]) => a - b);
  if (COPIES.some((metric) => metric in implausible)) return null;
  return low > 0 && low < SLOW_DIRECTION * high ? slow : null;
}

export function figureCell(metric: string, figures: Figures, implausible: Faults): Cell {
  const value = figures[metric];
  if (value === undefined) return { text: "–", colour: SOFT };
  return metric in implausible
    ? { text: `${MARK} ${figure(value)}`, face: "bold", colour: WARNING }
    : figure(value);
}

const SENSORS = ["power_consumption_watts", "temperature_centigrade"] as const;

/** The figures of one GPU, or of all GPUs of a node at once. */
interface Reading {
  rank: number;
  name: string;
  isNode: boolean;
  figures: Figures;
  implausible: Faults;
}

/** Power and temperature: their distributions, implausible readings, and throughput per watt. */
export function telemetry(flow: Flow, { nodes }: ReportData): void {
  const readings = nodes.flatMap(readingsOf);
  if (!readings.some(({ figures }) => SENSORS.some((metric) => figures[metric] !== undefined)))
    return;
  flow.heading(
    "Telemetry",
    80,
    "Power and temperature under load, as reported by the GPUs' own sensors.",
  );
  sensorCharts(flow, readings);
  perWatt(flow, nodes);
}

function readingsOf({ quickMark, rank }: ReportNode): Reading[] {
  if (quickMark === null) return [];
  const { aggregate, implausible, gpus } = quickMark;
  return [
    { rank, name: "all GPUs", isNode: true, figures: aggregate, implausible },
    ...gpus.map((gpu, at) => ({
      rank,
      name: `GPU ${at}`,
      isNode: false,
      figures: gpu.figures,
      implausible: gpu.implausible,
    })),
  ];
}

/** The distribution of each sensor over the GPUs; over the nodes if none sent figures by GPU. */
function sensorCharts(flow: Flow, readings: readonly Reading[]): void {
  const width = (WIDTH - 30) / 2;
  const perGpu = readings.some(({ isNode }) => !isNode)
    ? readings.filter(({ isNode }) => !isNode)
    : readings;
  for (const [side, metric] of SENSORS.entries()) {
    const values = perGpu.flatMap(({ figures, implausible }) =>
      metric in implausible ? [] : (figures[metric] ?? []),
    );
    const summary = summarizeValues(values, false);
    const x = LEFT + side * (width + 30);
    const name = side === 0 ? "Power, W" : "Temperature, °C";
    const title = `${name}, ${count(values.length, "valid reading")}`;
    const draw = () => {
      flow.canvas.text(title, x, flow.y + 6, { size: SIZE.tiny, colour: SOFT });
      if (summary === null) return;
      const place = { x, y: flow.y + 12, width, height: 26 };
      distribution(flow.canvas, place, values, { median: summary.median, baseline: null });
      const text = `min ${figure(summary.min)}   median ${figure(summary.median)}   max ${figure(summary.max)}`;
      flow.canvas.text(text, x, flow.y + 58, { size: SIZE.tiny });
    };
    flow.content("Figure", draw, `Distribution of ${title}`);
  }
  flow.skip(70);
}

/** The fields of QuickMark results that cannot be true, with the reasons. */
export function implausibleReadings(flow: Flow, { nodes }: ReportData): void {
  const wrong = nodes.flatMap(({ rank, quickMark, hosts }) => [
    ...(quickMark?.faults ?? []).map((fault) => ({ rank, ...fault })),
    ...hosts.flatMap(({ implausible }) =>
      Object.entries(implausible).map(([field, reason]) => ({ rank, field, reason })),
    ),
  ]);
  if (wrong.length === 0) return;
  flow.heading(
    "Implausible readings",
    60,
    "These readings count in no other figure and in no verdict.",
  );
  table(
    flow,
    [
      { title: "Node", width: 30 },
      { title: "Field", width: 185 },
      { title: "Reason", width: 290 },
    ],
    wrong
      .slice(0, MAX_IMPLAUSIBLE)
      .map(({ rank, field, reason }) => [
        String(rank),
        { text: fieldName(field), colour: WARNING },
        capital(reason),
      ]),
  );
  if (wrong.length > MAX_IMPLAUSIBLE) {
    const rest = count(wrong.length - MAX_IMPLAUSIBLE, "more reading");
    flow.paragraph(`and ${rest}, marked ${MARK} in "Figures by GPU"`, {
      size: SIZE.small,
      colour: SOFT,
    });
  }
}

/** A path in a result, such as `test_results.3.bf16_tflops`, as "GPU 3: BF16". */
function fieldName(path: string): string {
  const ofHost = hostMark.fields[path];
  if (ofHost !== undefined) return ofHost.display_name;
  const [list = "", ...rest] = path.split(".");
  if (list === "aggregate_results") return `All GPUs: ${metricName(rest.join("."))}`;
  const [gpu = "", ...name] = rest;
  return list === "test_results" && name.length > 0
    ? `GPU ${gpu}: ${metricName(name.join("."))}`
    : label(path);
}

function perWatt(flow: Flow, nodes: readonly ReportNode[]): void {
  const rows = nodes.flatMap(({ rank, quickMark }) => {
    if (quickMark === null) return [];
    const { aggregate, implausible } = quickMark;
    if (!PER_WATT_COLUMNS.some(([metric]) => aggregate[metric] !== undefined)) return [];
    const cells = PER_WATT_COLUMNS.map(([metric]): Cell => {
      const value = aggregate[metric];
      if (value === undefined) return { text: "–", colour: SOFT };
      return metric in implausible ? { text: "left out", colour: WARNING } : figure(value);
    });
    return [[String(rank), ...cells]];
  });
  if (rows.length === 0) return;
  flow.subheading("Throughput per watt, all GPUs of the node at once", 40);
  table(
    flow,
    [
      { title: "Node", width: 60 },
      ...PER_WATT_COLUMNS.map(([, title]) => ({
        title,
        unit: "TFLOPS/W",
        width: 80,
        align: "right" as const,
      })),
    ],
    rows,
    { dense: rows.length > 40 },
  );
}
