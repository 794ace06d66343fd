import { hostname } from "node:os";
import { createApiClient } from "./api-client.ts";
import { type AgentOptions, parseCommand } from "./args.ts";
import { systemClock as clock } from "./clock.ts";
import {
  createReport,
  type Ending,
  EXIT,
  endingOf,
  endOfTask,
  exitCodeOf,
  printTask,
  type Report,
  recordSteps,
  UsageError,
  wantsJson,
} from "./ending.ts";
import { stateFolderOf } from "./files.ts";
import { runProbeOnly } from "./gpu/probe-only.ts";
import { DRAIN_SECONDS, HELP } from "./help.ts";
import type { Transport } from "./http/transport.ts";
import { type Identity, readIdentity } from "./identity.ts";
import { openJobState } from "./job-state.ts";
import { createLog, type Log } from "./log.ts";
import { ownCommand, prepare, reach, rootsOf, withCublas } from "./preparation.ts";
import { loadReplay, type Replay } from "./replay.ts";
import { runAgent } from "./run-loop.ts";
import { serveRunner } from "./runner-loop.ts";
import { createServerTime } from "./server-time.ts";
import { AGENT_VERSION } from "./version.ts";

/** A runner's key, and the tokens of its latest jobs and tasks. */
const MASKED_SECRETS = 16;

export interface Terminal {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
}

/**
 * The whole program: arguments in, exit code out. With `--json` every ending is one line of standard output.
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
  const report = createReport(wantsJson(argv), terminal.stdout);
  try {
    return await run(argv, env, terminal, signal, report);
  } catch (error) {
    report.end(endingOf(error, signal));
    if (!(error instanceof UsageError)) throw error;
    terminal.stderr(`assay agent: ${error.message}\nRun with --help for the options.\n`);
    return EXIT.usage;
  }
}

/** @throws UsageError, and when `signal` aborts */
async function run(
  argv: readonly string[],
  env: Record<string, string | undefined>,
  terminal: Terminal,
  signal: AbortSignal,
  report: Report,
): Promise<number> {
  const command = parseCommand(argv, env);
  if (command.kind === "usage-error") throw new UsageError(command.message);
  if (command.kind === "probe-only") {
    const { json, caFile } = command;
    const say: Log = (message) => terminal.stderr(`${message}\n`);
    const roots = await rootsOf(caFile, env);
    const probe = await withCublas(command, env, roots, say, signal);
    if (probe === null) return endWithoutCublas(report);
    return runProbeOnly(ownCommand(), probe, json, terminal, signal, clock);
  }
  if (command.kind !== "run") {
    terminal.stdout(command.kind === "help" ? HELP : `${AGENT_VERSION}\n`);
    return EXIT.completed;
  }
  const { options } = command;
  const loaded = options.replayFile === null ? null : loadReplay(options.replayFile);
  if (loaded !== null && !loaded.ok) throw new UsageError(loaded.message);
  const replay = loaded?.replay ?? null;
  const { transport, roots } = await reach(options, env);
  const say = createLog(terminal.stderr, clock.now, []);
  const probe = await withCublas(options, env, roots, say, signal);
  if (probe === null) return endWithoutCublas(report);
  const ready = { ...options, probe };
  const { credential } = options;
  return credential.kind === "runner"
    ? runService(ready, credential, replay, transport, terminal, signal, report)
    : runNode(ready, credential.token, replay, transport, env, terminal, signal, report);
}

function endWithoutCublas(report: Report): number {
  const ending = { verdict: "error", exitCode: EXIT.notCompleted } as const;
  report.end({ ...ending, reason: "cuBLAS cannot be fetched" });
  return ending.exitCode;
}

/** A node of one job. */
async function runNode(
  options: AgentOptions,
  token: string,
  replay: Replay | null,
  transport: Transport,
  env: Record<string, string | undefined>,
  terminal: Terminal,
  signal: AbortSignal,
  report: Report,
): Promise<number> {
  const identity = identify(options, env);
  const machineUuid = identity.uuid;
  const secrets = [token];
  const log = createLog(terminal.stderr, clock.now, secrets);
  signal.addEventListener("abort", () => log(`${signal.reason}: stopping; the task stays open`));
  const { facts, runStep: runAny } = await prepare(options, replay, transport, log, signal);
  const { runStep, take } = recordSteps(runAny);
  const { gpu } = facts.facts.inventory;
  report.know(() => ({ machineUuid, gpu, steps: take() }));
  log(`assay agent ${AGENT_VERSION}, machine ${machineUuid}, server ${options.host}`);
  if (identity.source === "random") {
    log(
      `this machine has no lasting identity, and ${stateFolderOf(env)} cannot be written: its UUID is random, so a restarted agent would be another node. Set ASSAY_MACHINE_KEY or --machine-uuid`,
    );
  }
  // Containers that share a home share the kept identity, and must not pass for one agent: they differ by name.
  const names = identity.source === "kept" ? [hostname()] : [];
  const state = openJobState({
    folder: stateFolderOf(env),
    of: [options.host, token, machineUuid, ...names],
    log,
    now: clock.now,
  });
  secrets.push(state.kept.joinSecret);
  const end = await runAgent({
    client: createApiClient({ host: options.host, token, clock, log, transport }),
    node: { machineUuid, ...facts },
    runStep,
    clock,
    log,
    signal,
    giveUpAfterMs: options.giveUpAfterMs,
    transport: options.transport,
    awaitsVerdict: true,
    state,
    conceal: (secret) => secrets.push(secret),
  });
  if (end.kind === "stopped") state.remove();
  log(end.message);
  printTask(end, options, terminal);
  report.end(endOfTask(end));
  return exitCodeOf(end);
}

/** @throws UsageError */
function identify(
  { machineUuid }: AgentOptions,
  env: Record<string, string | undefined>,
): Identity | { uuid: string; source: "given" } {
  if (machineUuid !== null) return { uuid: machineUuid, source: "given" };
  try {
    return readIdentity(env);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A runner, until it is told to stop. */
async function runService(
  options: AgentOptions,
  { runner, key }: { runner: string; key: string },
  replay: Replay | null,
  transport: Transport,
  terminal: Terminal,
  stop: AbortSignal,
  report: Report,
): Promise<number> {
  // Tokens of jobs come and go; the last few are masked.
  const secrets = [key];
  const conceal = (secret: string) => {
    if (!secrets.includes(secret)) secrets.push(secret);
    if (secrets.length > MASKED_SECRETS) secrets.splice(1, 1);
  };
  const log = createLog(terminal.stderr, clock.now, secrets);
  const leave = "finishing the running step, if any; send the signal again to stop at once";
  stop.addEventListener("abort", () => log(`${stop.reason}: ${leave}`));
  const prepared = await prepare(options, replay, transport, log, stop).catch((error: unknown) => {
    if (!stop.aborted) throw error;
    return null;
  });
  const leaving: Ending = { verdict: "stopped", exitCode: EXIT.completed, reason: "stopped" };
  if (prepared === null) {
    // Nothing was claimed yet.
    report.end(leaving);
    return EXIT.completed;
  }
  const { facts, runStep: runAny, readAgain } = prepared;
  const { runStep, take } = recordSteps(runAny);
  let { gpu } = facts.facts.inventory;
  report.know(() => ({ gpu, steps: take() }));
  // A second signal ends the process, so nothing here is ever cut off.
  const { signal } = new AbortController();
  const { host } = options;
  const serverTime = createServerTime();
  const basePath = `/v0/runners/${encodeURIComponent(runner)}`;
  log(`assay agent ${AGENT_VERSION}, runner ${runner}, server ${host}`);
  const { kind, message } = await serveRunner({
    client: createApiClient({ host, token: key, clock, log, basePath, transport, serverTime }),
    clientOfJob(token) {
      conceal(token);
      return createApiClient({ host, token, clock, log, transport, serverTime });
    },
    conceal,
    node: facts,
    readFacts: async (signal) => {
      const read = await readAgain(signal);
      gpu = read.inventory.gpu;
      return read;
    },
    onEnd(end) {
      printTask(end, options, terminal);
      const uuid = end.task?.wire.machine_uuid;
      report.end({ ...endOfTask(end), machineUuid: typeof uuid === "string" ? uuid : null });
    },
    drain: { signal: stop, drainMs: DRAIN_SECONDS * 1_000 },
    runStep,
    clock,
    log,
    signal,
    giveUpAfterMs: options.giveUpAfterMs,
    transport: options.transport,
  });
  log(message);
  const failure = { verdict: "error", exitCode: EXIT.notCompleted, reason: message } as const;
  const ending = kind === "stopped" ? leaving : failure;
  report.end(ending);
  return ending.exitCode;
}
