import { join } from "node:path";
import { startAgent } from "./agents.ts";
import { createDisplay, resultTable } from "./demo-display.ts";
import { assertAgentsWork, type Stage, waitForAgents } from "./demo-stage.ts";
import { ROOT } from "./project.ts";
import { findFreePort } from "./server.ts";

const REPLAYS = [
  "a100-sxm4-80gb-x2.json",
  "h100-nvl-x1.json",
  "h100-80gb-hbm3-x8.json",
  "a100-sxm4-40gb-x8-slow.json",
];
const REFRESH_MS = 400;
/** The job takes seconds; on a very slow machine minutes. */
const JOB_TIMEOUT_MS = 10 * 60_000;

/** A 4-node job from start to end, with 4 agents; answers its id. Throws unless it has really completed. */
export async function runJob(stage: Stage): Promise<string> {
  const { api, program, url, signal } = stage;
  const job = await api.createJob({
    name: "Demo",
    description: "Four nodes, replayed QuickMark, measured network",
    benchmarks: ["quick_mark", "cluster_network"],
    node_count: REPLAYS.length,
    tags: ["demo"],
  });
  console.log(`Created job ${job.id} with ${REPLAYS.length} nodes\n`);

  for (const [index, replay] of REPLAYS.entries()) {
    const clusterAddress = `127.0.0.1:${await findFreePort()}`;
    const replayFile = join(ROOT, "agent/replays", replay);
    const { token } = job;
    stage.add(startAgent({ program, index, host: url, token, clusterAddress, replayFile }));
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
    await new Promise((done) => setTimeout(done, REFRESH_MS));
  }
  display.end();
  const detail = await api.job(job.id);
  console.log(resultTable(detail));
  if (detail.state !== "completed") throw new Error(`The job ended as ${detail.state}.`);
  await waitForAgents(stage);
  console.log("The job is completed.");
  return job.id;
}
