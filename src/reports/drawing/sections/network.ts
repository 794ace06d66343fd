/** Cluster network: all directed links as a heat map, the slowest and the failed links as tables. */
import { columnPercent } from "../../../lib/percent.ts";
import { eachLink, type Link, linkCount } from "../../link-table.ts";
import type { ReportData, ReportNetwork } from "../../report-data.ts";
import { facts } from "../facts.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import {
  failedLegend,
  type HeatGrid,
  hasFigures,
  heatLegend,
  heatLevel,
  heatMap,
  heatRange,
  inkOn,
  LEGEND_WIDTH,
} from "../heat.ts";
import { runOf } from "../step-names.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { capital, figure, words } from "../writing.ts";
import { judgementOf } from "./judgement.ts";
import { peers } from "./network-peers.ts";

/** Bound of the nodes whose maps stand side by side. */
const MAX_PAIRED = 10;
/** Least side of a cell that shows its figure, points. */
const MIN_NUMBERED = 18;
/** Room for the title of a map, which its legend stands beside. */
const TITLE_WIDTH = 84;
const SLOWEST = 10;
const MAX_FAILED = 20;

export function networks(flow: Flow, { networks: steps, subject }: ReportData): void {
  for (const step of steps) {
    const total = linkCount(step.links);
    const failed = step.links.errors.length;
    const name = `Cluster network${runOf(step.key)}`;
    flow.heading(
      name,
      80 + (subject.kind === "job" && total > failed ? layoutOf(step.nodeCount).side : 0),
      "Bandwidth and round-trip latency over TCP, measured between the agents of every pair of nodes, in both directions.",
    );
    const judged = judgementOf(step);
    if (judged !== null) flow.paragraph(capital(judged), { face: "bold" });
    flow.skip(4);
    summary(flow, step, subject.kind === "job" ? ` (${failed} failed)` : "");
    if (total === 0) {
      flow.paragraph("No measurements of this step were received.", { colour: SOFT });
    } else if (subject.kind === "job") {
      maps(flow, step);
      extremes(flow, step);
    } else {
      peers(flow, step, subject.rank);
    }
  }
}

function summary(flow: Flow, step: ReportNetwork, failed: string): void {
  const or = (value: number | null, unit: string) =>
    value === null ? "–" : `${figure(value)} ${unit}`;
  facts(
    flow,
    [
      ["Average bandwidth", or(step.averageGbps, "Gbit/s")],
      ["Minimum bandwidth", or(step.minimumGbps, "Gbit/s")],
      ["Average latency", or(step.averageLatencyMs, "ms")],
      ["Links tested", `${figure(step.linksTested)}${failed}, ${words(step.state)}`],
    ],
    { columns: 4, width: WIDTH },
  );
}

/** Room for the numbers of rows, points. */
const ROW_NAMES = 22;
const BETWEEN = 26;

/** Small maps stand side by side, large ones take the width of the page each. */
function layoutOf(size: number): { side: number; isPaired: boolean; isNumbered: boolean } {
  const isPaired = size <= MAX_PAIRED;
  const width = isPaired ? (WIDTH - BETWEEN) / 2 : WIDTH;
  const side = Math.min(width - ROW_NAMES, isPaired ? size * 60 : Number.POSITIVE_INFINITY);
  return { side, isPaired, isNumbered: side / size >= MIN_NUMBERED };
}

interface LinkMap {
  title: string;
  unit: string;
  grid: HeatGrid;
}

/** Bandwidth, and latency of the same links. */
function maps(flow: Flow, step: ReportNetwork): void {
  const { nodeCount: size } = step;
  const { side, isPaired, isNumbered } = layoutOf(size);
  const both: LinkMap[] = [
    { title: "Bandwidth", unit: "Gbit/s", grid: gridOf(step, ({ gbps }) => gbps) },
    {
      title: "Latency",
      unit: "ms",
      grid: gridOf(step, ({ gbps, latencyMs }) => (gbps === null ? null : latencyMs), true),
    },
  ];
  const height = side + 56;
  for (const [index, each] of both.entries()) {
    if (index === 0 || !isPaired) flow.need(height);
    const x = LEFT + (isPaired ? index * ((WIDTH - BETWEEN) / 2 + BETWEEN) : 0);
    const { low, high } = each.grid;
    const range = hasFigures(each.grid) ? `from ${figure(low)} to ${figure(high)}` : "all failed";
    const alt = `${each.title} of each link in ${each.unit}, by source and target node, ${range}`;
    flow.content("Figure", () => drawMap(flow, step, each, { x, side, isNumbered }), alt);
    if (!isPaired || index === 1) flow.skip(height);
  }
}

function gridOf(
  { nodeCount: size, links }: ReportNetwork,
  pick: (link: Link) => number | null,
  isLowGood = false,
): HeatGrid {
  /** NaN for a link without a measurement, negative for a failed one: plain numbers, since there may be 65,000. */
  const values = new Float64Array(size * size).fill(Number.NaN);
  for (const link of eachLink(links)) {
    values[link.source * size + link.target] = pick(link) ?? -1;
  }
  return {
    size,
    value: (row, column) => {
      const value = values[row * size + column];
      if (value === undefined || Number.isNaN(value)) return undefined;
      return value < 0 ? null : value;
    },
    ...heatRange(
      values.filter((value) => value >= 0),
      isLowGood,
    ),
  };
}

function drawMap(
  flow: Flow,
  step: ReportNetwork,
  { title, unit, grid }: LinkMap,
  { x: left, side, isNumbered }: { x: number; side: number; isNumbered: boolean },
): void {
  const { canvas } = flow;
  const { size } = grid;
  const cell = side / size;
  const [x, y] = [left + ROW_NAMES, flow.y + 40];
  const style = { size: SIZE.tiny, colour: SOFT };
  canvas.text(`${title}, ${unit}`, left, flow.y + 7, { size: SIZE.text, face: "bold" });
  // A small map is narrower than its title and legend.
  const legend = left + Math.max(side + ROW_NAMES - LEGEND_WIDTH, TITLE_WIDTH);
  heatLegend(canvas, { x: legend, y: flow.y + 1 }, grid, unit);
  if (step.links.errors.length > 0) failedLegend(canvas, { x: left, y: flow.y + 13 });
  canvas.text("target node", x + side, flow.y + 25, { ...style, align: "right" });
  canvas.text("source node", left, flow.y + 33, style);
  heatMap(canvas, { x, y, cell }, grid);
  const every = [1, 2, 4, 8, 16, 32].find((step) => cell * step >= 11) ?? 32;
  for (let rank = 0; rank < size; rank += every) {
    const middle = (rank + 0.5) * cell;
    canvas.text(String(rank), x + middle, y - 3, { ...style, align: "centre" });
    canvas.text(String(rank), x - 4, y + middle + 2, { ...style, align: "right" });
  }
  if (!isNumbered) return;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const value = grid.value(row, column);
      if (typeof value !== "number") continue;
      const place = [x + (column + 0.5) * cell, y + (row + 0.5) * cell + 2] as const;
      canvas.text(figure(value), ...place, {
        size: Math.min(SIZE.dense, cell / 4.2),
        align: "centre",
        colour: inkOn(heatLevel(value, grid)),
      });
    }
  }
}

function extremes(flow: Flow, step: ReportNetwork): void {
  const right = "right" as const;
  const { links } = step;
  if (linkCount(links) - links.errors.length > SLOWEST * 2) {
    flow.subheading(`The ${SLOWEST} slowest links`, 40);
    table(
      flow,
      [
        { title: "Source", width: 60 },
        { title: "Target", width: 60 },
        { title: "Bandwidth", unit: "Gbit/s", width: 80, align: right },
        { title: "Of median", width: 70, align: right },
        { title: "Latency", unit: "ms", width: 80, align: right },
      ],
      slowest(step).map(({ source, target, gbps, latencyMs }) => [
        `node ${source}`,
        `node ${target}`,
        figure(gbps),
        step.judgement === null ? "–" : columnPercent(gbps / step.judgement.median_gbps),
        figure(latencyMs),
      ]),
    );
  }
  const failed = links.errors.length;
  if (failed === 0) return;
  flow.subheading("Failed links", 40);
  table(
    flow,
    [
      { title: "Source", width: 60 },
      { title: "Target", width: 60 },
      { title: "Reason", width: 380 },
    ],
    failedRows(links),
  );
  const rest = failed - MAX_FAILED;
  if (rest > 0)
    flow.paragraph(`and ${rest} more, shown in the heat map`, {
      colour: SOFT,
      size: SIZE.small,
    });
}

function* failedRows(links: ReportNetwork["links"]): Generator<string[]> {
  let shown = 0;
  for (const { source, target, gbps, error } of eachLink(links)) {
    if (gbps !== null) continue;
    if (++shown > MAX_FAILED) return;
    yield [`node ${source}`, `node ${target}`, error ?? ""];
  }
}

interface GoodLink extends Link {
  gbps: number;
}

/** The slowest first; only they are kept while all are looked at. */
function slowest({ links }: ReportNetwork): GoodLink[] {
  const kept: GoodLink[] = [];
  for (const link of eachLink(links)) {
    const { gbps } = link;
    if (gbps === null || (kept.length === SLOWEST && gbps >= (kept.at(-1)?.gbps ?? 0))) continue;
    // Behind those as slow, so that equal ones stay in the order of their ranks.
    const at = kept.findIndex((each) => each.gbps > gbps);
    kept.splice(at === -1 ? kept.length : at, 0, { ...link, gbps });
    kept.splice(SLOWEST);
  }
  return kept;
}
