/** A node's links to and from each other node, as a table. */
import { linkCount, linkReader } from "../../link-table.ts";
import type { ReportNetwork } from "../../report-data.ts";
import type { Canvas } from "../canvas.ts";
import { ratioBar } from "../charts.ts";
import type { Flow } from "../flow.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { figure } from "../writing.ts";

/** The links of one node, by the other node. */
export function peers(flow: Flow, step: ReportNetwork, rank: number): void {
  /** Indices of links, by the other node. */
  const out = new Map<number, number>();
  const back = new Map<number, number>();
  const read = linkReader(step.links);
  for (let index = 0; index < linkCount(step.links); index++) {
    const { source, target } = read(index);
    if (source === rank) out.set(target, index);
    else back.set(source, index);
  }
  const others = [...new Set([...out.keys(), ...back.keys()])].sort((a, b) => a - b);
  const { averageGbps } = step;
  const cells = (index: number | undefined) => {
    if (index === undefined) return ["–", "", "–"];
    const { gbps, latencyMs, error } = read(index);
    if (gbps === null) return ["failed", "", { text: error ?? "", colour: SOFT }];
    const ratio = averageGbps === null ? 1 : gbps / averageGbps;
    return [
      figure(gbps),
      {
        draw: (canvas: Canvas, x: number, y: number, width: number, height: number) =>
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
  flow.paragraph("The line in each bar marks the average of all links of the job.", {
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
  // Row by row: 255 other nodes have many cells.
  function* rows() {
    for (const other of others) {
      yield [`node ${other}`, ...cells(out.get(other)), ...cells(back.get(other))];
    }
  }
  table(
    flow,
    [{ title: "Other node", width: 80 }, ...direction("Outgoing"), ...direction("Incoming")],
    rows(),
    { dense: others.length > 40 },
  );
}
