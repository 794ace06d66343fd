/** Says how a reader checks the report, and who signed it. */
import type { ReportData } from "../../report-data.ts";
import { type Flow, LEFT, WIDTH } from "../flow.ts";
import { SIZE, SOFT } from "../theme.ts";

/** @param kid the key that signed the data; null for an unsigned report */
export function checking(
  flow: Flow,
  { origin, subject }: ReportData,
  { hash, kid }: { hash: string; kid: string | null },
): void {
  flow.heading("How to check this report", 90);
  const part = subject.kind === "job" ? "job" : "node";
  flow.paragraph(
    `The hash below stands for everything in this report. Anyone can look it up on the server, without an account: it answers which ${part} the report is about, when the job ran, the verdict, the SHA-256 of this file, and whether there is a newer report. The file holds its data as report.json.`,
  );
  flow.skip(4);
  flow.paragraph(
    kid === null
      ? "This report is UNSIGNED: the server that made it had no key. Its hash, looked up on the server, is the only proof of it."
      : "The data is signed with Ed25519 by the key below. The server's page /verify, or node agent.mjs verify FILE --host with the server's address, checks signature and file.",
  );
  flow.skip(5);
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
