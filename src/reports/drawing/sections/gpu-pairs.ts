/** Bandwidth between the GPUs of each node, and of their collectives. */
import type { ReportData, ReportNode } from "../../report-data.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { type HeatGrid, heatLegend, heatLevel, heatMap, heatRange, inkOn } from "../heat.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { connection } from "../writing.ts";
import { figureCell } from "./gpus.ts";
import { metricName, metricUnit } from "./metrics.ts";

/** Up to this many nodes have matrices with figures; more nodes have small ones without. */
const MAX_NUMBERED = 8;
/** No machine has more GPUs; a matrix grows with the square of the number of names sent. */
const MAX_GPUS = 64;
const LEGEND_HEIGHT = 24;
/** Least distance between names, points. */
const NAME_HEIGHT = 7;

export function gpuPairs(flow: Flow, { nodes }: ReportData): void {
  const matrices = nodes.flatMap((node) => matrixOf(node) ?? []);
  if (matrices.length === 0) return;
  const all = matrices.flatMap(({ values }) => [...values.values()]);
  const range = heatRange(all);
  const numbered = matrices.length <= MAX_NUMBERED;
  const columns = numbered ? 2 : 6;
  const cellWidth = WIDTH / columns;
  const sideOf = (row: readonly Matrix[]) => {
    const most = Math.max(...row.map(({ gpus }) => gpus.length));
    return Math.min(cellWidth - 30, numbered ? Math.max(most * 27, 52) : cellWidth - 12);
  };
  flow.heading(
    "Bandwidth between GPUs",
    LEGEND_HEIGHT + sideOf(matrices.slice(0, columns)) + 34,
    "GB/s, with both directions loaded at once where that was measured, else in one direction. Rows: source GPU. Columns: target GPU. Dark cells are slow.",
  );
  heatLegend(flow.canvas, { x: LEFT, y: flow.y }, range, "GB/s");
  flow.skip(LEGEND_HEIGHT);
  for (let at = 0; at < matrices.length; at += columns) {
    const row = matrices.slice(at, at + columns);
    const side = sideOf(row);
    flow.need(side + 34);
    for (const [index, matrix] of row.entries()) {
      const place = { x: LEFT + index * cellWidth, side };
      const alt = `Bandwidth between the GPUs of node ${matrix.rank} in GB/s`;
      flow.content("Figure", () => drawMatrix(flow, matrix, place, range, numbered), alt);
    }
    flow.skip(side + (numbered ? 34 : 18));
  }
  collectives(flow, nodes);
}

const COLLECTIVES = ["allreduce_bandwidth_gbs", "broadcast_bandwidth_gbs"] as const;

function collectives(flow: Flow, nodes: readonly ReportNode[]): void {
  const rows = nodes.flatMap(({ rank, quickMark }) => {
    const figures = quickMark?.aggregate ?? {};
    if (COLLECTIVES.every((metric) => figures[metric] === undefined)) return [];
    return [
      [
        String(rank),
        ...COLLECTIVES.map((metric) => figureCell(metric, figures, quickMark?.implausible ?? {})),
      ],
    ];
  });
  if (rows.length === 0) return;
  flow.subheading("Collectives, all GPUs of the node", 40);
  table(
    flow,
    [
      { title: "Node", width: 60 },
      ...COLLECTIVES.map((metric) => ({
        title: metricName(metric),
        unit: metricUnit(metric),
        width: 80,
        align: "right" as const,
      })),
    ],
    rows,
    { dense: rows.length > 40 },
  );
}

interface Matrix {
  rank: number;
  gpus: string[];
  /** Number of GPUs that are left out. */
  omitted: number;
  /** By `<row>,<column>`. */
  values: Map<string, number>;
  types: string[];
}

function matrixOf({ rank, quickMark }: ReportNode): Matrix | null {
  const pairs = (quickMark?.pairs ?? []).filter(
    ({ duplex, simplex }) => (duplex ?? simplex) !== null,
  );
  if (pairs.length === 0) return null;
  const names = [...new Set(pairs.flatMap(({ from, to }) => [from, to]))].sort((a, b) =>
    a.localeCompare(b, "en", { numeric: true }),
  );
  const gpus = names.slice(0, MAX_GPUS);
  const at = new Map(gpus.map((gpu, index) => [gpu, index]));
  const values = new Map(
    pairs
      .filter(({ from, to }) => at.has(from) && at.has(to))
      .map(({ from, to, duplex, simplex }) => [
        `${at.get(from)},${at.get(to)}`,
        duplex ?? simplex ?? 0,
      ]),
  );
  // A figure sent for one direction only is drawn for both.
  for (const [key, value] of [...values]) {
    const [from, to] = key.split(",");
    if (!values.has(`${to},${from}`)) values.set(`${to},${from}`, value);
  }
  const types = [...new Set(pairs.flatMap(({ type }) => type ?? []))];
  return { rank, gpus, omitted: names.length - gpus.length, values, types };
}

function drawMatrix(
  flow: Flow,
  { rank, gpus, omitted, values, types }: Matrix,
  { x, side }: { x: number; side: number },
  range: { low: number; high: number },
  numbered: boolean,
): void {
  const { canvas, y } = flow;
  const cell = side / gpus.length;
  const left = x + (numbered ? 20 : 0);
  const top = y + (numbered ? 22 : 10);
  const some = omitted > 0 ? `, ${gpus.length} of ${gpus.length + omitted} GPUs` : "";
  const kind =
    numbered && types.length > 0 ? `, ${types.slice(0, 2).map(connection).join(", ")}` : "";
  canvas.text(`Node ${rank}${some}${kind}`, x, y + 6, {
    size: SIZE.small,
    face: "bold" as const,
    maxWidth: WIDTH / (numbered ? 2 : 6) - 6,
  });
  const grid: HeatGrid = {
    size: gpus.length,
    value: (row, column) => values.get(`${row},${column}`),
    ...range,
  };
  heatMap(canvas, { x: left, y: top, cell }, grid);
  if (!numbered) return;
  const every = Math.ceil(NAME_HEIGHT / cell);
  for (const [index, gpu] of gpus.entries()) {
    if (index % every !== 0) continue;
    const name = gpu.replace(/^gpu/, "");
    const middle = (index + 0.5) * cell;
    const style = { size: SIZE.tiny, colour: SOFT };
    const above = { ...style, align: "centre" as const, maxWidth: Math.max(cell, 9) };
    canvas.text(name, left + middle, top - 3, above);
    canvas.text(name, left - 4, top + middle + 2, { ...style, align: "right", maxWidth: 16 });
  }
  if (cell < 15) return;
  for (const [key, value] of values) {
    const [row = 0, column = 0] = key.split(",").map(Number);
    canvas.text(value.toFixed(0), left + (column + 0.5) * cell, top + (row + 0.5) * cell + 2, {
      size: SIZE.tiny,
      align: "centre",
      colour: inkOn(heatLevel(value, range)),
    });
  }
}
