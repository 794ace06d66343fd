/** The same machine's last jobs: a small line for each metric. */
import { RATED_METRICS, type RatedMetric } from "../../../lib/enums.ts";
import { percent } from "../../../lib/percent.ts";
import type { ReportData, ReportNode } from "../../report-data.ts";
import { series } from "../charts.ts";
import type { Flow } from "../flow.ts";
import { machineNames } from "../machine-names.ts";
import { type Cell, table } from "../table.ts";
import { WARNING } from "../theme.ts";
import { count, figure, signed, time } from "../writing.ts";
import { metricName, metricUnit } from "./metrics.ts";

/** A table with more rows is dense. */
const MAX_ROOMY_ROWS = 40;

export function history(flow: Flow, { nodes, thresholds }: ReportData): void {
  const known = nodes.filter((node) => node.history.length > 0);
  if (known.length === 0) return;
  const { dropBelow } = thresholds;
  flow.heading(
    "History",
    50,
    `Figures per GPU of the same machine, measured by the same method in its owner's last ten jobs; this job is at the right end. A triangle marks a figure below ${percent(dropBelow)} of the previous one.`,
  );
  const names = machineNames(nodes);
  const right = "right" as const;
  table(
    flow,
    [
      { title: "Node", width: 26 },
      { title: "Machine", width: 77 },
      { title: "Jobs", width: 76 },
      ...RATED_METRICS.flatMap((metric) => [
        { title: metricName(metric), width: 78 },
        { title: "Now", unit: metricUnit(metric), width: 38, align: right },
        { title: "Change", width: 47, align: right },
      ]),
    ],
    known.map((node) => rowOf(node, names.get(node.rank) ?? "", dropBelow)),
    { dense: known.length > MAX_ROOMY_ROWS },
  );
}

function rowOf(node: ReportNode, name: string, dropBelow: number): Cell[] {
  const points = node.history.flatMap((each) => each.points);
  const jobs = Math.max(...node.history.map((each) => each.points.length));
  const since = Math.min(...points.map(([at]) => at));
  return [
    String(node.rank),
    name,
    `${jobs} since ${time(since).slice(0, 10)}`,
    ...RATED_METRICS.flatMap((metric) => cells(node, metric, dropBelow)),
  ];
}

function cells({ history: all }: ReportNode, metric: RatedMetric, dropBelow: number): Cell[] {
  const values = all.find((each) => each.metric === metric)?.points.map(([, value]) => value) ?? [];
  const [before, now] = values.slice(-2);
  if (before === undefined || now === undefined) return ["–", "", ""];
  const text = signed(now / before - 1);
  const drops = values.filter((value, at) => value < dropBelow * (values[at - 1] ?? 0)).length;
  return [
    {
      draw: (canvas, x, y, width, height) =>
        series(canvas, { x, y, width, height }, values, dropBelow),
      alt: `${values.map(figure).join(", ")}; ${count(drops, "drop")}`,
    },
    figure(now),
    now < dropBelow * before ? { text: `▼ ${text}`, face: "bold", colour: WARNING } : text,
  ];
}
