/**
 * Draws made-up reports of every kind into a folder, to be looked at: of one node, four nodes and 256 nodes, of a failed
 * job, a machine that falls short of its spec, and a job with findings. With Debian's poppler-utils also as pictures of
 * their pages.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { drawReport } from "../src/reports/drawing/draw-report.ts";
import type { ReportData } from "../src/reports/report-data.ts";
import { jobDataOf, taskDataOf } from "../src/reports/subjects.ts";
import {
  A100,
  failedReport,
  findingsReport,
  mismatchReport,
  sampleReport,
} from "../test/reports/samples.ts";
import { ROOT } from "./lib/project.ts";

/** Pages of a report that are made pictures. */
const MAX_PAGES = 12;
const DOTS_PER_INCH = 110;

const folder = resolve(process.argv[2] ?? "report-samples");
const font = (name: string) => new Uint8Array(readFileSync(join(ROOT, "public/fonts", name)));
const fonts = { regular: font("DejaVuSans.ttf"), bold: font("DejaVuSans-Bold.ttf") };

const four = sampleReport({ nodes: 4, gpus: 8, model: A100, slow: [3] });
const SAMPLES: Readonly<Record<string, ReportData>> = {
  "one-node": sampleReport({ nodes: 1, gpus: 8 }),
  "four-nodes": four,
  "four-nodes-letter": { ...four, paper: "letter" },
  "one-of-four-nodes": taskDataOf(four, 3),
  "256-nodes": jobDataOf(sampleReport({ nodes: 256, gpus: 8, slow: [17] })),
  failed: failedReport(),
  "spec-mismatch": mismatchReport(),
  findings: findingsReport(),
};

mkdirSync(folder, { recursive: true });
const hasPictures = spawnSync("pdftoppm", ["-v"]).error === undefined;
for (const [name, data] of Object.entries(SAMPLES)) {
  const hash = createHash("sha256").update(name).digest("hex");
  const { bytes } = await drawReport(data, { hash, fonts });
  const path = join(folder, `${name}.pdf`);
  writeFileSync(path, bytes);
  if (hasPictures) {
    const range = ["-l", String(MAX_PAGES), "-r", String(DOTS_PER_INCH)];
    spawnSync("pdftoppm", ["-png", ...range, path, join(folder, name)], { stdio: "inherit" });
  }
  console.log(`${path}: ${Math.ceil(bytes.length / 1_024)} KiB`);
}
if (!hasPictures) console.log("No pictures: pdftoppm (Debian's poppler-utils) is missing.");
