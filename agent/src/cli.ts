import { createApiClient } from "./api-client.ts";
import { type AgentOptions, HELP, parseCommand } from "./args.ts";
import { systemClock } from "./clock.ts";
import { defaultBounds } from "./cluster-network/bounds.ts";
import type { HostPort } from "./host-port.ts";
import { createLog } from "./log.ts";
import {
  describeMachine,
  listGpus,
  type MachineFacts,
  readMachineIp,
  readMachineUuid,
} from "./machine.ts";
import { loadReplay, type Replay } from "./replay.ts";
import { runAgent } from "./run-loop.ts";
import type { AgentEnd } from "./session.ts";
import { createStepRunner } from "./steps.ts";
import { AGENT_VERSION } from "./version.ts";

const DEFAULT_CLUSTER_PORT = 7117;

export const EXIT = { completed: 0, notCompleted: 1, usage: 2 } as const;

export interface Terminal {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
}

/**
 * The whole program: arguments in, exit code out.
 *
 * @throws the signal's reason when `signal` aborts
 */
export async function runCli(
  argv: readonly string[],
  env: Record<string, string | undefined>,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const usage = (message: string): number => {
    terminal.stderr(`assay agent: ${message}\nRun with --help for the options.\n`);
    return EXIT.usage;
  };
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
  let machineUuid: string;
  try {
    machineUuid = options.machineUuid ?? readMachineUuid(env);
  } catch (error) {
    return usage(`no lasting identity for this machine (${String(error)}); pass --machine-uuid`);
  }

  const clock = systemClock;
  const log = createLog(terminal.stderr, clock.now, options.token);
  const machineIp = readMachineIp();
  const clusterAddress = options.clusterAddress ?? defaultClusterAddress(machineIp);
  log(`assay agent ${AGENT_VERSION}, machine ${machineUuid}, server ${options.host}`);
  const end = await runAgent({
    client: createApiClient({ host: options.host, token: options.token, clock, log }),
    node: {
      machineUuid,
      machineIp,
      clusterAddress,
      facts: await readFacts(replay, machineIp, signal),
    },
    runStep: createStepRunner({ replay, clusterAddress, clock, log, bounds: defaultBounds }),
    clock,
    log,
    signal,
  });
  log(end.message);
  printTask(end, options, terminal);
  return end.kind === "stopped" && end.task?.state === "completed"
    ? EXIT.completed
    : EXIT.notCompleted;
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
