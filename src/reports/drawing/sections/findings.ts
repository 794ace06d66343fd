/** What to look at, whatever the verdict is: before it, on top of the first page. */
import type { Finding, JobVerdict } from "../../../lib/stored-json.ts";
import type { ReportData } from "../../report-data.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { PALE_WARNING, SIZE, SOFT, WARNING } from "../theme.ts";
import { count, sentence, time } from "../writing.ts";
import { withMetricNames } from "./metrics.ts";

/** Bound of the findings on the first page; the reports of the nodes have the others. */
const MAX_SHOWN = 12;
const LEADING = 11.8;
/** What is made of recordings says so first (`scoreboard/findings.ts`). */
const REPLAYED = "REPLAYED: ";

export function findings(flow: Flow, { verdict, subject }: ReportData): void {
  const list = verdict?.findings ?? [];
  if (verdict === null || list.length === 0) return;
  const inner = WIDTH - 46;
  const shown = list
    .slice(0, MAX_SHOWN)
    .map((finding) => flow.type.wrap(textOf(finding, verdict), inner, SIZE.text));
  const all = list.length + verdict.moreFindings;
  const rest = all - shown.length;
  const lines = shown.reduce((sum, each) => sum + each.length, rest > 0 ? 1 : 0);
  const height = 27 + lines * LEADING;
  flow.need(height);
  const { canvas } = flow;
  const top = flow.y;
  canvas.rectangle(LEFT, top, WIDTH, height, PALE_WARNING);
  canvas.rectangle(LEFT, top, 4, height, WARNING);
  const title = `${count(all, "finding")}, independent of the verdict`;
  flow.content("H2", () => {
    canvas.text(title, LEFT + 18, top + 15, { size: SIZE.text, face: "bold", colour: WARNING });
  });
  let y = top + 29;
  for (const finding of shown) {
    canvas.rectangle(LEFT + 19, y - 4.4, 2.6, 2.6, WARNING);
    flow.content("P", () => {
      for (const line of finding) {
        canvas.text(line, LEFT + 28, y, { size: SIZE.text });
        y += LEADING;
      }
    });
  }
  if (rest > 0) {
    const where =
      subject.kind === "job"
        ? "in the reports of the nodes"
        : "in the verdict of this task on the server";
    flow.content("P", () => {
      canvas.text(`and ${rest} more, ${where}`, LEFT + 28, y, { size: SIZE.text, colour: SOFT });
    });
  }
  flow.skip(height + 8);
}

function textOf(finding: Finding, verdict: JobVerdict): string {
  const { rank, message } = finding;
  const isReplayed = message.startsWith(REPLAYED);
  const text = withMetricNames(isReplayed ? message.slice(REPLAYED.length) : message);
  const node = isReplayed ? `Node ${rank} (REPLAYED)` : `Node ${rank}`;
  return sentence(`${node}: ${text}${since(finding, verdict)}`);
}

/** The job that a drop is compared with. */
function since({ rank, metric, value, expected }: Finding, { nodes }: JobVerdict): string {
  const drop = nodes
    .find((node) => node.rank === rank)
    ?.drops.find((each) => each.metric === metric && each.value === value);
  if (drop === undefined || drop.previousValue !== expected) return "";
  return drop.previousAt === null
    ? ", compared with its runner's previous job"
    : `, compared with this machine's previous job (${time(drop.previousAt)})`;
}
