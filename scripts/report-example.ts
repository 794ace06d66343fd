/**
 * Writes docs/report-example.pdf: the report of the job that `npm run demo` runs, from start to end on this
 * machine, as its link serves it. The network figures are measured anew each time.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onStage, type Stage } from "./lib/demo-stage.ts";
import { runJob } from "./lib/job-demo.ts";
import { ROOT } from "./lib/project.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const TARGET = join(ROOT, "docs/report-example.pdf");
/** It is made as soon as the job has ended. */
const TIMEOUT_MS = 30_000;

const stopping = stopSignal();
const folder = mkdtempSync(join(tmpdir(), "assay-report-"));
try {
  await onStage(folder, stopping.signal, async (stage) => {
    const url = await reportOf(stage, await runJob(stage));
    const response = await fetch(url, { signal: stage.signal });
    if (!response.ok) throw new Error(`The report's link answered ${response.status}.`);
    writeFileSync(TARGET, new Uint8Array(await response.arrayBuffer()));
    console.log(`Wrote ${TARGET}`);
  });
} catch (error) {
  console.error(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = stopping.exitCode() || 1;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

async function reportOf({ api, signal }: Stage, jobId: string): Promise<string> {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    signal.throwIfAborted();
    const { pdf_report_url: url } = await api.job(jobId);
    if (url !== null) return url;
    if (Date.now() > deadline) throw new Error("The report was not made in time.");
    await new Promise((done) => setTimeout(done, 200));
  }
}
