import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { startAgent } from "./agents.ts";
import type { JobDetail } from "./api.ts";
import { createDisplay, resultTable } from "./demo-display.ts";
import { assertAgentsWork, type Stage, waitForAgents } from "./demo-stage.ts";
import { ROOT } from "./project.ts";
import { findFreePort } from "./server.ts";

/** By rank. */
const REPLAYS = [
  "a100-sxm4-80gb-x2.json",
  "h100-nvl-x1.json",
  "h100-80gb-hbm3-x8.json",
  "a100-sxm4-40gb-x8-slow.json",
];
const REFRESH_MS = 400;
const JOIN_POLL_MS = 100;
/** The job takes seconds; on a very slow machine minutes. */
const JOB_TIMEOUT_MS = 10 * 60_000;

/** The verdict and the report follow the end of the job within seconds. */
const REPORT_TIMEOUT_MS = 2 * 60_000;

/**
 * A 4-node job from start to end, with 4 agents: its verdict, and its report as a file. Throws unless it has really
 * completed.
 *
 * @param file path of the report
 */
export async function runJob(stage: Stage, file = resolve("demo-report.pdf")): Promise<void> {
  const { api, program, url, signal } = stage;
  const job = await api.createJob({
    name: "Demo",
    description: "Four nodes, replayed QuickMark, measured network",
    benchmarks: ["quick_mark", "cluster_network"],
    node_count: REPLAYS.length,
    tags: ["demo"],
  });
  console.log(`Created a job of ${REPLAYS.length} nodes, and started an agent for each.\n`);

  for (const [index, replay] of REPLAYS.entries()) {
    const clusterAddress = `127.0.0.1:${await findFreePort()}`;
    const replayFile = join(ROOT, "agent/replays", replay);
    const { token } = job;
    stage.add(startAgent({ program, index, host: url, token, clusterAddress, replayFile }));
    // One after the other, so that each machine has the same rank in each run.
    await joined(stage, job.id, index + 1);
  }

  const display = createDisplay(process.stdout);
  const deadline = Date.now() + JOB_TIMEOUT_MS;
  for (;;) {
    signal.throwIfAborted();
    const detail = await api.job(job.id);
    display.show(detail);
    if (detail.ended_at !== null) break;
    assertAgentsWork(stage, ({ exitCode }) => exitCode !== null && exitCode !== 0);
    if (Date.now() > deadline) throw new Error("The job did not end in time.");
    await setTimeout(REFRESH_MS, undefined, { signal });
  }
  display.end();
  const detail = await reported(stage, job.id);
  if (detail.state !== "completed") throw new Error(`The job ended as ${detail.state}.`);
  console.log(resultTable(detail));
  await waitForAgents(stage);
  writeFileSync(file, await api.report(detail.pdf_report_url ?? ""));
  console.log(
    `\nReport to send to the provider: ${file}\nTo measure your own machine, start a server: npm start`,
  );
}

async function joined(stage: Stage, id: string, nodes: number): Promise<void> {
  const deadline = Date.now() + JOB_TIMEOUT_MS;
  while ((await stage.api.job(id)).tasks.length < nodes) {
    stage.signal.throwIfAborted();
    assertAgentsWork(stage, ({ exitCode }) => exitCode !== null && exitCode !== 0);
    if (Date.now() > deadline) throw new Error("An agent did not join in time.");
    await setTimeout(JOIN_POLL_MS, undefined, { signal: stage.signal });
  }
}

/** The job once it has its report, and so its verdict. */
async function reported({ api, signal }: Stage, id: string): Promise<JobDetail> {
  const deadline = Date.now() + REPORT_TIMEOUT_MS;
  for (;;) {
    const detail = await api.job(id);
    if (detail.pdf_report_url !== null) return detail;
    if (detail.report_error !== null) throw new Error(`No report: ${detail.report_error}`);
    if (Date.now() > deadline) throw new Error("The report was not made in time.");
    await setTimeout(REFRESH_MS, undefined, { signal });
  }
}
