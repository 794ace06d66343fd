/**
 * `npm run demo`: the main job from start to end on this machine: the whole stack on a free port with
 * temporary state, a 4-node job, 4 agents as processes of their own. Exits 0 only when the job has
 * really completed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AgentProcess, fetchAgent, startAgent } from "./lib/agents.ts";
import { createApiClient } from "./lib/api.ts";
import { createDisplay, resultTable } from "./lib/demo-display.ts";
import { ROOT } from "./lib/project.ts";
import { findFreePort, type RunningServer, startServer } from "./lib/server.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const REPLAYS = [
  "a100-sxm4-80gb-x2.json",
  "h100-nvl-x1.json",
  "h100-80gb-hbm3-x8.json",
  "a100-sxm4-40gb-x8-slow.json",
];
const REFRESH_MS = 400;
/** The job takes seconds; on a very slow machine minutes. */
const JOB_TIMEOUT_MS = 10 * 60_000;
/** An agent whose job has ended hears of it at its next poll. */
const AGENT_EXIT_TIMEOUT_MS = 60_000;

async function runJob(folder: string, signal: AbortSignal): Promise<void> {
  const agents: AgentProcess[] = [];
  let server: RunningServer | undefined;
  try {
    console.log("Starting the whole stack …");
    server = await startServer(
      {
        port: await findFreePort(),
        ip: "127.0.0.1",
        state: join(folder, "state"),
        secretsFile: join(folder, ".dev.vars"),
        onOutput: () => {},
      },
      signal,
    );
    const api = createApiClient(server.url, signal);
    const { adminEmail, adminPassword } = server.secrets;
    await api.signIn(adminEmail, adminPassword);
    console.log(`Signed in at ${server.url} as ${adminEmail}`);
    const job = await api.createJob({
      name: "Demo",
      description: "Four nodes, replayed QuickMark, measured network",
      benchmarks: ["quick_mark", "cluster_network"],
      node_count: REPLAYS.length,
      tags: ["demo"],
    });
    console.log(`Created job ${job.id} with ${REPLAYS.length} nodes\n`);

    const program = await fetchAgent(server.url, folder);
    for (const [index, replay] of REPLAYS.entries()) {
      const clusterAddress = `127.0.0.1:${await findFreePort()}`;
      const replayFile = join(ROOT, "agent/replays", replay);
      const { token } = job;
      agents.push(
        startAgent({ program, index, host: server.url, token, clusterAddress, replayFile }),
      );
    }

    const display = createDisplay(process.stdout);
    const deadline = Date.now() + JOB_TIMEOUT_MS;
    for (;;) {
      signal.throwIfAborted();
      const detail = await api.job(job.id);
      display.show(detail);
      if (detail.ended_at !== null) break;
      const failed = agents.find((agent) => agent.exitCode !== null && agent.exitCode !== 0);
      if (failed !== undefined) throw new Error(agentFailure(failed));
      if (Date.now() > deadline) throw new Error("The job did not end in time.");
      await new Promise((done) => setTimeout(done, REFRESH_MS));
    }
    display.end();
    const detail = await api.job(job.id);
    console.log(resultTable(detail));
    if (detail.state !== "completed") throw new Error(`The job ended as ${detail.state}.`);
    for (const agent of agents) {
      await agent.waitForExit(AGENT_EXIT_TIMEOUT_MS, signal);
      if (agent.exitCode !== 0) throw new Error(agentFailure(agent));
    }
    console.log("The job is completed.");
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await server?.stop();
  }
}

function agentFailure(agent: AgentProcess): string {
  return `Agent ${agent.index} ended with exit code ${agent.exitCode}. Its last words:\n${agent.log()}`;
}

const stopping = stopSignal();
const folder = mkdtempSync(join(tmpdir(), "assay-demo-"));
try {
  await runJob(folder, stopping.signal);
} catch (error) {
  if (stopping.signal.aborted) console.error("\nStopped.");
  else console.error(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = stopping.exitCode() || 1;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
