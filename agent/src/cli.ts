import { createApiClient } from "./api-client.ts";
import { type AgentOptions, DRAIN_SECONDS, HELP, parseCommand } from "./args.ts";
import { systemClock as clock } from "./clock.ts";
import { defaultBounds } from "./cluster-network/bounds.ts";
import type { HostPort } from "./host-port.ts";
import { createLog, type Log } from "./log.ts";
import {
  describeMachine,
  listGpus,
  type MachineFacts,
  readMachineIp,
  readMachineUuid,
} from "./machine.ts";
import { loadReplay, type Replay } from "./replay.ts";
import { runAgent } from "./run-loop.ts";
import { serveRunner } from "./runner-loop.ts";
import type { AgentEnd, NodeFacts } from "./session.ts";
import type { RunStep } from "./step-context.ts";
import { createStepRunner } from "./steps.ts";
import { AGENT_VERSION } from "./version.ts";

const DEFAULT_CLUSTER_PORT = 7117;
/** A runner's key and the tokens of its latest jobs. */
const MASKED_SECRETS = 8;

export const EXIT = { completed: 0, notCompleted: 1, usage: 2 } as const;

export interface Terminal {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
}

/**
 * The whole program: arguments in, exit code out.
 *
 * @param signal aborts on the first signal, its name being the reason. A runner then finishes what it does
 * @throws when `signal` aborts, unless it is a runner
 */
export async function runCli(
  argv: readonly string[],
  env: Record<string, string | undefined>,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const usage = (message: string): number => usageError(terminal, message);
  const command = parseCommand(argv, env);
  if (command.kind === "usage-error") return usage(command.message);
  if (command.kind !== "run") {
    terminal.stdout(command.kind === "help" ? HELP : `${AGENT_VERSION}\n`);
    return EXIT.completed;
  }
  const { options } = command;
  const loaded = options.replayFile === null ? null : loadReplay(options.replayFile);
  if (loaded !== null && !loaded.ok) return usage(loaded.message);
  const replay = loaded?.replay ?? null;
  const { credential } = options;
  return credential.kind === "runner"
    ? runService(options, credential, replay, terminal, signal)
    : runNode(options, credential.token, replay, env, terminal, signal);
}

/** A node of one job. */
async function runNode(
  options: AgentOptions,
  token: string,
  replay: Replay | null,
  env: Record<string, string | undefined>,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  let machineUuid: string;
  try {
    machineUuid = options.machineUuid ?? readMachineUuid(env);
  } catch (error) {
    const why = `no lasting identity for this machine (${String(error)}); pass --machine-uuid`;
    return usageError(terminal, why);
  }
  const log = createLog(terminal.stderr, clock.now, [token]);
  signal.addEventListener("abort", () => log(`${signal.reason}: stopping; the task stays open`));
  const { facts, runStep } = await prepare(options, replay, log, signal);
  log(`assay agent ${AGENT_VERSION}, machine ${machineUuid}, server ${options.host}`);
  const end = await runAgent({
    client: createApiClient({ host: options.host, token, clock, log }),
    node: { machineUuid, ...facts },
    ...{ runStep, clock, log, signal },
  });
  log(end.message);
  printTask(end, options, terminal);
  return end.kind === "stopped" && end.task?.state === "completed"
    ? EXIT.completed
    : EXIT.notCompleted;
}

/** A runner, until it is told to stop. */
async function runService(
  options: AgentOptions,
  { runner, key }: { runner: string; key: string },
  replay: Replay | null,
  terminal: Terminal,
  stop: AbortSignal,
): Promise<number> {
  // Tokens of jobs come and go; the last few are masked.
  const secrets = [key];
  const log = createLog(terminal.stderr, clock.now, secrets);
  const leave = "finishing the step that runs, if any; once more to stop at once";
  stop.addEventListener("abort", () => log(`${stop.reason}: ${leave}`));
  // A second signal ends the process, so nothing here is ever cut off.
  const { signal } = new AbortController();
  const { facts, runStep } = await prepare(options, replay, log, signal);
  const { host } = options;
  const basePath = `/v0/runners/${encodeURIComponent(runner)}`;
  log(`assay agent ${AGENT_VERSION}, runner ${runner}, server ${host}`);
  const { kind, message } = await serveRunner({
    client: createApiClient({ host, token: key, clock, log, basePath }),
    clientOfJob(token) {
      if (!secrets.includes(token)) secrets.push(token);
      if (secrets.length > MASKED_SECRETS) secrets.splice(1, 1);
      return createApiClient({ host, token, clock, log });
    },
    node: facts,
    onEnd: (end) => printTask(end, options, terminal),
    drain: { signal: stop, drainMs: DRAIN_SECONDS * 1_000 },
    ...{ runStep, clock, log, signal },
  });
  log(message);
  return kind === "stopped" ? EXIT.completed : EXIT.notCompleted;
}

/** What a node needs, whatever it acts for. */
async function prepare(
  options: AgentOptions,
  replay: Replay | null,
  log: Log,
  signal: AbortSignal,
): Promise<{ facts: NodeFacts; runStep: RunStep }> {
  const machineIp = readMachineIp();
  const clusterAddress = options.clusterAddress ?? defaultClusterAddress(machineIp);
  const facts = await readFacts(replay, machineIp, signal);
  return {
    facts: { machineIp, clusterAddress, facts },
    runStep: createStepRunner({ replay, clusterAddress, clock, log, bounds: defaultBounds }),
  };
}

function usageError(terminal: Terminal, message: string): number {
  terminal.stderr(`assay agent: ${message}\nRun with --help for the options.\n`);
  return EXIT.usage;
}

function defaultClusterAddress(machineIp: string | null): HostPort {
  return { host: machineIp ?? "127.0.0.1", port: DEFAULT_CLUSTER_PORT };
}

async function readFacts(
  replay: Replay | null,
  machineIp: string | null,
  signal: AbortSignal,
): Promise<MachineFacts> {
  if (replay !== null) {
    const inventory = { ...replay.inventory, replayed: true };
    return { gpuModel: replay.gpuModel, gpuCount: replay.gpuCount, inventory };
  }
  const gpus = await listGpus(signal);
  signal.throwIfAborted();
  return describeMachine(gpus, machineIp);
}

function printTask(end: AgentEnd, options: AgentOptions, terminal: Terminal): void {
  const { task } = end;
  if (options.json) {
    if (task !== null) terminal.stdout(`${JSON.stringify(task.wire)}\n`);
    return;
  }
  const failure = task?.wire.failed_message;
  const why = typeof failure === "string" ? ` (${failure})` : "";
  terminal.stdout(
    task === null
      ? `no task: ${end.message}\n`
      : `node ${task.rank}, task ${task.id}: ${task.state}${why}\n`,
  );
}
