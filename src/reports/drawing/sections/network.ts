/** Cluster network: all directed links as a heat map, the slowest and the failed links as tables. */
import { eachLink, type Link, linkCount } from "../../link-table.ts";
import type { ReportData, ReportNetwork } from "../../report-data.ts";
import {
  type HeatGrid,
  heatLegend,
  heatLevel,
  heatMap,
  heatRange,
  inkOn,
  ratioBar,
} from "../charts.ts";
import { facts } from "../facts.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { figure, words } from "../writing.ts";

/** Bound of the nodes for which every cell shows its figure. */
const MAX_NUMBERED = 12;
const SLOWEST = 10;
const MAX_FAILED = 20;

export function networks(flow: Flow, { networks: steps, subject }: ReportData): void {
  for (const step of steps) {
    const total = linkCount(step.links);
    const failed = step.links.errors.length;
    const name = step.key.includes(":") ? `Cluster network (${step.key})` : "Cluster network";
    flow.heading(
      name,
      100 + (subject.kind === "job" && total > failed ? sideOf(step.nodeCount) : 0),
      "Bandwidth and round-trip latency over TCP, measured between the agents of every pair of nodes, in both directions.",
    );
    summary(flow, step, subject.kind === "job" ? ` (${failed} failed)` : "");
    if (total === 0) {
      flow.paragraph("No node sent measurements of this step.", { colour: SOFT });
    } else if (subject.kind === "job") {
      map(flow, step);
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

/** Side of the heat map, points. */
function sideOf(size: number): number {
  return size <= MAX_NUMBERED
    ? Math.min(380, size * 46)
    : Math.min(WIDTH - 40, Math.max(300, size * 9));
}

function map(flow: Flow, step: ReportNetwork): void {
  const { nodeCount: size } = step;
  /** NaN for a link without a measurement, negative for a failed one: plain numbers, since there may be 65,000. */
  const values = new Float64Array(size * size).fill(Number.NaN);
  for (const { source, target, gbps } of eachLink(step.links)) {
    values[source * size + target] = gbps ?? -1;
  }
  const grid: HeatGrid = {
    size,
    value: (row, column) => {
      const value = values[row * size + column];
      if (value === undefined || Number.isNaN(value)) return undefined;
      return value < 0 ? null : value;
    },
    ...heatRange(values.filter((value) => value >= 0)),
  };
  const numbered = size <= MAX_NUMBERED;
  const side = sideOf(size);
  const cell = side / size;
  flow.need(side + 62);
  const { canvas } = flow;
  const failed = step.links.errors.length > 0;
  heatLegend(canvas, { x: LEFT, y: flow.y + 2 }, grid, "Gbit/s", failed);
  canvas.text("Row: source node. Column: target node. Dark is slow.", LEFT + 230, flow.y + 8, {
    size: SIZE.tiny,
    colour: SOFT,
  });
  const x = LEFT + 26;
  const y = flow.y + 38;
  heatMap(canvas, { x, y, cell }, grid);
  const every = [1, 2, 4, 8, 16, 32].find((step) => cell * step >= 11) ?? 32;
  for (let rank = 0; rank < size; rank += every) {
    const style = { size: SIZE.tiny, colour: SOFT };
    const middle = (rank + 0.5) * cell;
    canvas.text(String(rank), x + middle, y - 4, { ...style, align: "centre" });
    canvas.text(String(rank), x - 4, y + middle + 2, { ...style, align: "right" });
  }
  if (numbered) {
    for (const { source, target, gbps } of eachLink(step.links)) {
      if (gbps === null) continue;
      canvas.text(figure(gbps), x + (target + 0.5) * cell, y + (source + 0.5) * cell + 2.5, {
        size: SIZE.dense,
        align: "centre",
        colour: inkOn(heatLevel(gbps, grid)),
      });
    }
  }
  flow.skip(side + 50);
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
        { title: "of average", width: 70, align: right },
        { title: "Latency", unit: "ms", width: 80, align: right },
      ],
      slowest(step).map(({ source, target, gbps, latencyMs }) => [
        `node ${source}`,
        `node ${target}`,
        figure(gbps),
        step.averageGbps === null ? "–" : `${((gbps / step.averageGbps) * 100).toFixed(0)}%`,
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

/** The links of one node, by the other node. */
function peers(flow: Flow, step: ReportNetwork, rank: number): void {
  const out = new Map<number, Link>();
  const back = new Map<number, Link>();
  for (const link of eachLink(step.links)) {
    if (link.source === rank) out.set(link.target, link);
    else back.set(link.source, link);
  }
  const others = [...new Set([...out.keys(), ...back.keys()])].sort((a, b) => a - b);
  const { averageGbps } = step;
  const cells = (link: Link | undefined) => {
    if (link === undefined) return ["–", "", "–"];
    const { gbps, latencyMs, error } = link;
    if (gbps === null) return ["failed", "", { text: error ?? "", colour: SOFT }];
    const ratio = averageGbps === null ? 1 : gbps / averageGbps;
    return [
      figure(gbps),
      {
        draw: (
          canvas: Parameters<typeof ratioBar>[0],
          x: number,
          y: number,
          width: number,
          height: number,
        ) =>
          ratioBar(
            canvas,
            { x: x + 4, y: y + height / 2 - 2.5, width: width - 4, height: 5 },
            ratio,
            0,
            "expected",
          ),
      },
      figure(latencyMs),
    ];
  };
  flow.paragraph("The line in each bar is the average over all links of the job.", {
    colour: SOFT,
    size: SIZE.small,
  });
  flow.skip(2);
  const right = "right" as const;
  const direction = (name: string) => [
    { title: name, unit: "Gbit/s", width: 65, align: right },
    { title: "", width: 80 },
    { title: "Latency", unit: "ms", width: 60, align: right },
  ];
  table(
    flow,
    [{ title: "Other node", width: 80 }, ...direction("Outgoing"), ...direction("Incoming")],
    others.map((other) => [`node ${other}`, ...cells(out.get(other)), ...cells(back.get(other))]),
    { dense: others.length > 40 },
  );
}
