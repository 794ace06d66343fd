/** How the figures were measured: the methods of the registry, and how often and how steadily each figure was taken. */
import { describedMethods } from "../../../benchmarks/method-texts.ts";
import { columnPercent } from "../../../lib/percent.ts";
import { MAX_INVENTORIES, type ReportData, type ReportNode } from "../../report-data.ts";
import type { Flow } from "../flow.ts";
import { type Cell, type Row, table } from "../table.ts";
import { SIZE, SOFT, WARNING } from "../theme.ts";
import { signed } from "../writing.ts";
import { metricName } from "./metrics.ts";

export function measured(flow: Flow, { nodes }: ReportData): void {
  const told = nodes.filter(({ quickMark }) => (quickMark?.measurement?.quality.length ?? 0) > 0);
  if (told.length === 0) return;
  flow.heading(
    "How it was measured",
    80,
    "All GPUs of a machine work at the same time. Each figure is the median of its last batches of calls: measuring ends as soon as these agree within 2 %, or when the time is up.",
  );
  const ids = new Set(
    told.flatMap(
      ({ quickMark }) => quickMark?.measurement?.quality.map(({ method }) => method) ?? [],
    ),
  );
  table(
    flow,
    [
      { title: "Method", width: 120 },
      { title: "Class", width: 60 },
      { title: "Definition", width: 325 },
    ],
    [
      ...describedMethods(ids).map(({ id, title, definition, class: name }) => [
        `${title}\n${id}`,
        name,
        definition,
      ]),
      ...unknown(ids).map((id) => [
        id,
        "unknown",
        "This server does not know the method. Figures measured by it are not rated.",
      ]),
    ],
  );
  if (nodes.length > MAX_INVENTORIES) {
    const style = { size: SIZE.small, colour: SOFT };
    flow.paragraph("Samples and spread of each figure are in the reports of the nodes.", style);
    return;
  }
  flow.subheading("Samples and stability", 50);
  const right = "right" as const;
  table(
    flow,
    [
      { title: "Figure", width: 110 },
      { title: "Method", width: 148 },
      { title: "Samples", width: 42, align: right },
      { title: "Spread", unit: "of median", width: 52, align: right },
      { title: "Drift", unit: "end vs start", width: 52, align: right },
      { title: "Time", unit: "s", width: 36, align: right },
      { title: "", width: 8 },
      { title: "Settled", width: 57 },
    ],
    rowsOf(told),
    { dense: true },
  );
  const note =
    "Of several GPUs, the worst is shown. Spread: from the 10th to the 90th percentile of all batches. Drift: the last batches compared with the first; above 0, the GPU became slower. Settled: the last batches agreed.";
  flow.paragraph(note, { size: SIZE.small, colour: SOFT });
}

function unknown(ids: ReadonlySet<string>): string[] {
  const known = new Set(describedMethods(ids).map(({ id }) => id));
  return [...ids].filter((id) => !known.has(id));
}

function* rowsOf(nodes: readonly ReportNode[]): Generator<Row> {
  for (const { rank, quickMark } of nodes) {
    if (nodes.length > 1) yield { group: `Node ${rank}` };
    for (const each of quickMark?.measurement?.quality ?? []) {
      const or = (value: number | null, show: (value: number) => string) =>
        value === null ? "–" : show(value);
      const drift = or(each.drift, signed);
      const settled: Cell =
        each.isSettled === false
          ? { text: "▼ no", face: "bold", colour: WARNING }
          : or(each.isSettled === null ? null : 1, () => "yes");
      yield [
        metricName(each.metric),
        each.method,
        or(each.samples, String),
        or(each.spread, columnPercent),
        drift,
        or(each.seconds, (value) => value.toFixed(1)),
        "",
        settled,
      ];
    }
  }
}
