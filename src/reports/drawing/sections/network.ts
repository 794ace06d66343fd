/** Cluster network: every directed link, as a heat map and by its extremes. */
import type { ReportData, ReportLink, ReportNetwork } from "../../report-data.ts";
import {
  type HeatGrid,
  heatLegend,
  heatLevel,
  heatMap,
  heatRange,
  inkOn,
  ratioBar,
} from "../charts.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { facts, table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { figure, words } from "../writing.ts";

/** Up to this many nodes every cell holds its figure. */
const MAX_NUMBERED = 12;
const SLOWEST = 10;
const MAX_FAILED = 20;

export function networks(flow: Flow, { networks: steps, subject }: ReportData): void {
  for (const step of steps) {
    const good = step.links.filter(isGood);
    const name = step.key.includes(":") ? `Cluster network (${step.key})` : "Cluster network";
    flow.heading(
      name,
      100 + (subject.kind === "job" && good.length > 0 ? sideOf(step.nodeCount) : 0),
      "Bandwidth and round-trip latency over TCP, measured between the agents of every two nodes, in both directions.",
    );
    const failed = step.links.length - good.length;
    summary(flow, step, subject.kind === "job" ? ` (${failed} failed)` : "");
    if (step.links.length === 0) {
      flow.paragraph("No node has sent measurements of this step.", { colour: SOFT });
    } else if (subject.kind === "job") {
      map(flow, step, good);
      extremes(flow, step, good);
    } else {
      peers(flow, step, subject.rank);
    }
  }
}

type GoodLink = Extract<ReportLink, { 3: number }>;

function isGood(link: ReportLink): link is GoodLink {
  return typeof link[2] === "number";
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

/** How large the heat map of so many nodes is, points. */
function sideOf(size: number): number {
  return size <= MAX_NUMBERED
    ? Math.min(380, size * 46)
    : Math.min(WIDTH - 40, Math.max(300, size * 9));
}

function map(flow: Flow, step: ReportNetwork, good: readonly GoodLink[]): void {
  const { nodeCount: size } = step;
  const values = new Map<number, number | null>();
  for (const link of step.links)
    values.set(link[0] * size + link[1], isGood(link) ? link[2] : null);
  const grid: HeatGrid = {
    size,
    value: (row, column) => values.get(row * size + column),
    ...heatRange(good.map((link) => link[2])),
  };
  const numbered = size <= MAX_NUMBERED;
  const side = numbered ? Math.min(380, size * 46) : Math.min(WIDTH - 40, Math.max(300, size * 9));
  const cell = side / size;
  flow.need(side + 62);
  const { canvas } = flow;
  const failed = good.length < step.links.length;
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
    for (const [source, target, gbps] of good) {
      canvas.text(figure(gbps), x + (target + 0.5) * cell, y + (source + 0.5) * cell + 2.5, {
        size: SIZE.dense,
        align: "centre",
        colour: inkOn(heatLevel(gbps, grid)),
      });
    }
  }
  flow.skip(side + 50);
}

function extremes(flow: Flow, step: ReportNetwork, good: readonly GoodLink[]): void {
  const right = "right" as const;
  if (good.length > SLOWEST * 2) {
    const slow = [...good].sort((a, b) => a[2] - b[2] || a[0] - b[0] || a[1] - b[1]);
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
      slow
        .slice(0, SLOWEST)
        .map(([source, target, gbps, latency]) => [
          `node ${source}`,
          `node ${target}`,
          figure(gbps),
          step.averageGbps === null ? "–" : `${((gbps / step.averageGbps) * 100).toFixed(0)}%`,
          figure(latency),
        ]),
    );
  }
  const failed = step.links.filter((link) => !isGood(link));
  if (failed.length === 0) return;
  flow.subheading("Failed links", 40);
  table(
    flow,
    [
      { title: "Source", width: 60 },
      { title: "Target", width: 60 },
      { title: "Why", width: 380 },
    ],
    failed
      .slice(0, MAX_FAILED)
      .map(([source, target, error]) => [`node ${source}`, `node ${target}`, String(error)]),
  );
  const rest = failed.length - MAX_FAILED;
  if (rest > 0)
    flow.paragraph(`and ${rest} more, which the heat map shows`, {
      colour: SOFT,
      size: SIZE.small,
    });
}

/** One node's links, by the node at their other end. */
function peers(flow: Flow, step: ReportNetwork, rank: number): void {
  const out = new Map(
    step.links.filter(([source]) => source === rank).map((link) => [link[1], link]),
  );
  const back = new Map(
    step.links.filter(([, target]) => target === rank).map((link) => [link[0], link]),
  );
  const others = [...new Set([...out.keys(), ...back.keys()])].sort((a, b) => a - b);
  const { averageGbps } = step;
  const cells = (link: ReportLink | undefined) => {
    if (link === undefined) return ["–", "", "–"];
    if (!isGood(link)) return ["failed", "", { text: String(link[2]), colour: SOFT }];
    const [, , gbps, latency] = link;
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
      figure(latency),
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
    [{ title: "Other node", width: 80 }, ...direction("To it"), ...direction("From it")],
    others.map((other) => [`node ${other}`, ...cells(out.get(other)), ...cells(back.get(other))]),
    { dense: others.length > 40 },
  );
}
