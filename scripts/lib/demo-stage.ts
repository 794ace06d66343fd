import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type AgentProcess, fetchAgent } from "./agents.ts";
import { createApiClient } from "./api.ts";
import { createDisplay } from "./demo-display.ts";
import { findFreePort, startServer } from "./server.ts";

/** An agent whose job has ended hears of it at its next poll; one that is asked to leave finishes its step. */
const AGENT_EXIT_TIMEOUT_MS = 60_000;
const REFRESH_MS = 400;

/** The stage of a demo: the whole stack, a signed-in administrator, and the agent's program. */
export interface Stage {
  url: string;
  api: ReturnType<typeof createApiClient>;
  /** Path of the agent, as a machine gets it. */
  program: string;
  /** Keeps an agent, so that none is left behind. */
  add(agent: AgentProcess): void;
  agents: readonly AgentProcess[];
  signal: AbortSignal;
}

/** Runs `act` on a stack of its own, on a free port with temporary state, and takes all of it down. */
export async function onStage(
  folder: string,
  signal: AbortSignal,
  act: (stage: Stage) => Promise<unknown>,
): Promise<void> {
  console.log("Starting the whole stack …");
  const server = await startServer(
    {
      port: await findFreePort(),
      ip: "127.0.0.1",
      state: join(folder, "state"),
      secretsFile: join(folder, ".dev.vars"),
      rateReplays: true,
      onOutput: () => {},
    },
    signal,
  );
  const agents: AgentProcess[] = [];
  try {
    const { url, secrets } = server;
    const api = createApiClient(url, signal);
    await api.signIn(secrets.adminEmail, secrets.adminPassword);
    console.log(`Signed in at ${url} as ${secrets.adminEmail}`);
    const program = await fetchAgent(url, folder);
    await act({ url, api, program, agents, signal, add: (agent) => agents.push(agent) });
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await server.stop();
  }
}

/** Waits until all agents have ended by themselves, each with exit code 0. */
export async function waitForAgents({ agents, signal }: Stage): Promise<void> {
  for (const agent of agents) {
    await agent.waitForExit(AGENT_EXIT_TIMEOUT_MS, signal);
    if (agent.exitCode !== 0) throw new Error(agentFailure(agent));
  }
}

export interface Watch {
  timeoutMs: number;
  /** The sentence of its error when the time is up. */
  late: string;
  /** True for an agent that should still be at work. By default one whose exit code is not 0. */
  hasFailed?: (agent: AgentProcess) => boolean;
}

/** Asks again and again until `look` finds something; throws when an agent has failed, or the time is up. */
export async function watchFor<Found>(
  { agents, signal }: Stage,
  { timeoutMs, late, hasFailed = endedBadly }: Watch,
  look: () => Promise<Found | null>,
): Promise<Found> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    const failed = agents.find(hasFailed);
    if (failed !== undefined) throw new Error(agentFailure(failed));
    if (Date.now() > deadline) throw new Error(late);
    await setTimeout(REFRESH_MS, undefined, { signal });
  }
}

/** Shows a job's progress until it ends. */
export async function showUntilEnded(stage: Stage, jobId: string, watch: Watch): Promise<void> {
  const display = createDisplay(process.stdout);
  await watchFor(stage, watch, async () => {
    const detail = await stage.api.job(jobId);
    display.show(detail);
    return detail.ended_at;
  });
  display.end();
}

const endedBadly = ({ exitCode }: AgentProcess) => exitCode !== null && exitCode !== 0;

function agentFailure(agent: AgentProcess): string {
  return `Agent ${agent.index} ended with exit code ${agent.exitCode}. Its last output:\n${agent.log()}`;
}
