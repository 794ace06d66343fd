/** What each GPU measured, and what its sensors said. */
import { summarizeValues } from "../../../benchmarks/statistics.ts";
import type { Figures, ReportData, ReportNode } from "../../report-data.ts";
import { distribution } from "../charts.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { type Cell, type Row, table } from "../table.ts";
import { SIZE, SOFT, WARNING } from "../theme.ts";
import { count, figure } from "../writing.ts";
import { GPU_COLUMNS, metricUnit, PER_WATT_COLUMNS } from "./metrics.ts";

const MARK = "!";
/** More of them are marked where the figures are. */
const MAX_IMPLAUSIBLE = 40;

export function gpuTable(flow: Flow, { nodes }: ReportData): void {
  const measured = nodes.filter(({ quickMark }) => quickMark !== null);
  if (measured.length === 0) return;
  flow.heading(
    "Figures by GPU",
    60,
    `Each GPU measured alone, and all GPUs of the node at once: a pass of its own, which shows what they share. ${MARK} marks readings that no healthy sensor gives; a dash is a figure that was not sent.`,
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

function* gpuRows(nodes: readonly ReportNode[]): Generator<Row> {
  for (const { rank, gpuCount, gpuModel, quickMark } of nodes) {
    if (quickMark === null) continue;
    const replayed = quickMark.isReplayed ? ", replayed" : "";
    yield { group: `Node ${rank}: ${gpuCount ?? "?"} × ${gpuModel ?? "GPU"}${replayed}` };
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

function figureRow(name: Cell, figures: Figures, implausible: readonly string[]): Cell[] {
  return [name, ...GPU_COLUMNS.map(([metric]) => figureCell(metric, figures, implausible))];
}

export function figureCell(metric: string, figures: Figures, implausible: readonly string[]): Cell {
  const value = figures[metric];
  if (value === undefined) return { text: "–", colour: SOFT };
  return implausible.includes(metric)
    ? { text: `${MARK} ${figure(value)}`, face: "bold", colour: WARNING }
    : figure(value);
}

/** Power and temperature: how they lie over the GPUs, what cannot be, and what follows per watt. */
export function telemetry(flow: Flow, { nodes }: ReportData): void {
  const readings = nodes.flatMap(({ quickMark, rank }) => {
    if (quickMark === null) return [];
    const one = {
      rank,
      name: "all GPUs",
      figures: quickMark.aggregate,
      implausible: quickMark.implausible,
    };
    const each = quickMark.gpus.map(({ figures, implausible }, at) => ({
      rank,
      name: `GPU ${at}`,
      figures,
      implausible,
    }));
    return [{ ...one, isNode: true }, ...each.map((gpu) => ({ ...gpu, isNode: false }))];
  });
  const SENSORS = ["power_consumption_watts", "temperature_centigrade"] as const;
  if (!readings.some(({ figures }) => SENSORS.some((metric) => figures[metric] !== undefined)))
    return;
  flow.heading(
    "Telemetry",
    80,
    "Power and temperature as the GPUs' own sensors gave them under load.",
  );
  const width = (WIDTH - 30) / 2;
  const perGpu = readings.some(({ isNode }) => !isNode)
    ? readings.filter(({ isNode }) => !isNode)
    : readings;
  for (const [side, metric] of SENSORS.entries()) {
    const values = perGpu.flatMap(({ figures, implausible }) =>
      implausible.includes(metric) ? [] : (figures[metric] ?? []),
    );
    const summary = summarizeValues(values, false);
    const x = LEFT + side * (width + 30);
    const name = side === 0 ? "Power, W" : "Temperature, °C";
    const title = `${name}, ${count(values.length, "believable reading")}`;
    flow.canvas.text(title, x, flow.y + 6, { size: SIZE.tiny, colour: SOFT });
    if (summary === null) continue;
    const place = { x, y: flow.y + 12, width, height: 26 };
    distribution(flow.canvas, place, values, { median: summary.median, baseline: null });
    const text = `min ${figure(summary.min)}   median ${figure(summary.median)}   max ${figure(summary.max)}`;
    flow.canvas.text(text, x, flow.y + 53, { size: SIZE.tiny });
  }
  flow.skip(64);
  const wrong = readings.flatMap(({ rank, name, figures, implausible }) =>
    SENSORS.flatMap((metric) =>
      implausible.includes(metric) ? [{ rank, name, metric, value: figures[metric] ?? 0 }] : [],
    ),
  );
  if (wrong.length > 0) {
    flow.subheading("Implausible readings", 40);
    table(
      flow,
      [
        { title: "Node", width: 40 },
        { title: "Of", width: 70 },
        { title: "Reading", width: 90, align: "right" },
        { title: "", width: 12 },
        { title: "What it means", width: 293 },
      ],
      wrong.slice(0, MAX_IMPLAUSIBLE).map(({ rank, name, metric, value }) => [
        String(rank),
        name,
        {
          text: `${MARK} ${figure(value)} ${metricUnit(metric)}`,
          face: "bold" as const,
          colour: WARNING,
        },
        "",
        metric === "power_consumption_watts"
          ? "No GPU under load draws so little: figures per watt from it are left out."
          : "No GPU at work has this temperature.",
      ]),
    );
  }
  if (wrong.length > MAX_IMPLAUSIBLE) {
    const rest = count(wrong.length - MAX_IMPLAUSIBLE, "more reading");
    flow.paragraph(`and ${rest}, marked ${MARK} in the figures by GPU`, {
      size: SIZE.small,
      colour: SOFT,
    });
  }
  perWatt(flow, nodes);
}

function perWatt(flow: Flow, nodes: readonly ReportNode[]): void {
  const rows = nodes.flatMap(({ rank, quickMark }) => {
    if (quickMark === null) return [];
    const { aggregate, implausible } = quickMark;
    if (!PER_WATT_COLUMNS.some(([metric]) => aggregate[metric] !== undefined)) return [];
    const cells = PER_WATT_COLUMNS.map(([metric]): Cell => {
      const value = aggregate[metric];
      if (value === undefined) return { text: "–", colour: SOFT };
      return implausible.includes(metric) ? { text: "left out", colour: WARNING } : figure(value);
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
