/** Says how a reader checks the report, and who signed it. */
import type { ReportData } from "../../report-data.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { SIZE, SOFT } from "../theme.ts";

const HEADING_ROOM = 90;
/** The heading's height, and those of the facts below the paragraphs, points. */
const HEADING = 45;
const FACTS = 50;

/** The height of the section. */
export function checkingHeight(flow: Flow, { subject }: ReportData, kid: string | null): number {
  const texts = textsOf(subject.kind, kid);
  return texts.reduce((sum, text) => sum + flow.heightOf(text) + 5, HEADING + FACTS);
}

function textsOf(kind: ReportData["subject"]["kind"], kid: string | null): string[] {
  const part = kind === "job" ? "job" : "node";
  return [
    `The content hash below identifies everything in this report. Anyone can look it up on the server, without an account: the server names the ${part}, the time of the job, the verdict, the SHA-256 of this file, and a newer report if there is one. The data behind the pages is attached to this file as report.json.`,
    kid === null
      ? "This report is UNSIGNED: the server that made it had no signing key. Looking its hash up on the server is the only proof that the report is genuine."
      : "The data is signed (Ed25519) with the key below. To check signature and file, open the page /verify of the server, or run: node agent.mjs verify FILE --host URL, with the address of the server.",
  ];
}

/** @param kid the key that signed the data; null for an unsigned report */
export function checking(
  flow: Flow,
  { origin, subject }: ReportData,
  { hash, kid }: { hash: string; kid: string | null },
): void {
  flow.heading("How to check this report", HEADING_ROOM);
  for (const text of textsOf(subject.kind, kid)) {
    flow.paragraph(text);
    flow.skip(5);
  }
  fact(flow, "Content hash", hash, true);
  if (kid !== null) fact(flow, "Signed by key", kid, false);
  // Without a known address, the hash stands alone: a made-up one would lead nowhere.
  if (origin === null) return;
  const url = `${origin}/verify`;
  flow.canvas.text("Check it at", LEFT, flow.y + 7, { size: SIZE.tiny, colour: SOFT });
  for (const line of flow.type.wrap(url, WIDTH - 70, SIZE.small)) {
    const width = flow.canvas.text(line, LEFT + 70, flow.y + 7, { size: SIZE.small });
    flow.canvas.link({ x: LEFT + 70, y: flow.y, width, height: 10, url });
    flow.skip(10);
  }
}

function fact(flow: Flow, name: string, value: string, isBold: boolean): void {
  flow.canvas.text(name, LEFT, flow.y + 7, { size: SIZE.tiny, colour: SOFT });
  const face = isBold ? "bold" : "regular";
  flow.canvas.text(value, LEFT + 70, flow.y + 7, { size: SIZE.small, face });
  flow.skip(14);
}
