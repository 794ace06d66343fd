import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { startAgent } from "./agents.ts";
import type { JobDetail } from "./api.ts";
import { resultTable } from "./demo-display.ts";
import { type Stage, showUntilEnded, waitForAgents, watchFor } from "./demo-stage.ts";
import { measureHost } from "./host-demo.ts";
import { ROOT } from "./project.ts";
import { findFreePort } from "./server.ts";

/** By rank. */
const REPLAYS = [
  "a100-sxm4-80gb-x2.json",
  "h100-nvl-x1.json",
  "h100-80gb-hbm3-x8.json",
  "a100-sxm4-40gb-x8-slow.json",
];
/** The job takes seconds; on a very slow machine minutes. */
const JOB_TIMEOUT_MS = 10 * 60_000;

/** The verdict and the report follow the end of the job within seconds. */
const REPORT_TIMEOUT_MS = 2 * 60_000;

/**
 * A 4-node job from start to end, with 4 agents, then this machine by HostMark: the verdict, and the report as a file.
 * Throws unless both have really completed.
 *
 * @param file path of the report
 */
export async function runJob(stage: Stage, file = resolve("demo-report.pdf")): Promise<void> {
  const { api, program, url } = stage;
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

  const late = "The job did not end in time.";
  await showUntilEnded(stage, job.id, { timeoutMs: JOB_TIMEOUT_MS, late });
  const detail = await reported(stage, job.id);
  if (detail.state !== "completed") throw new Error(`The job ended as ${detail.state}.`);
  await waitForAgents(stage);
  const { isTTY, columns } = process.stdout;
  console.log(resultTable(detail, await measureHost(stage), isTTY ? columns : undefined));
  writeFileSync(file, await api.report(detail.pdf_report_url ?? ""));
  console.log(
    `\nReport to send to the provider: ${file}\nTo measure your own machine, start a server: npm start`,
  );
}

async function joined(stage: Stage, id: string, nodes: number): Promise<void> {
  const late = "An agent did not join in time.";
  await watchFor(stage, { timeoutMs: JOB_TIMEOUT_MS, late }, async () => {
    const { tasks } = await stage.api.job(id);
    return tasks.length >= nodes || null;
  });
}

/** The job once it has its report, and so its verdict. */
function reported(stage: Stage, id: string): Promise<JobDetail> {
  const late = "The report was not made in time.";
  return watchFor(stage, { timeoutMs: REPORT_TIMEOUT_MS, late }, async () => {
    const detail = await stage.api.job(id);
    if (detail.report_error !== null) throw new Error(`No report: ${detail.report_error}`);
    return detail.pdf_report_url === null ? null : detail;
  });
}
