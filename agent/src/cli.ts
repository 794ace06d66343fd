import { hostname } from "node:os";
import { createApiClient } from "./api-client.ts";
import { type AgentOptions, DRAIN_SECONDS, HELP, parseCommand } from "./args.ts";
import { systemClock as clock } from "./clock.ts";
import { defaultBounds } from "./cluster-network/bounds.ts";
import { type Location, locate } from "./cluster-network/own-addresses.ts";
import { type PeerRules, systemLookup } from "./cluster-network/peer-address.ts";
import { stateFolderOf } from "./files.ts";
import { runProbeOnly } from "./gpu/probe-only.ts";
import { surveyLine } from "./gpus/facts.ts";
import { surveyGpus } from "./gpus/survey.ts";
import type { HostPort } from "./host-port.ts";
import { proxyFor } from "./http/proxy.ts";
import { createTransport, type Transport } from "./http/transport.ts";
import { readCertificates, rootsWith } from "./http/trust.ts";
import { type Identity, readIdentity } from "./identity.ts";
import { openJobState } from "./job-state.ts";
import { createLog, type Log } from "./log.ts";
import { describeMachine, type MachineFacts, readBootId } from "./machine.ts";
import type { Measuring } from "./quick-mark.ts";
import { loadReplay, type Replay } from "./replay.ts";
import { runAgent } from "./run-loop.ts";
import { serveRunner } from "./runner-loop.ts";
import { createServerTime } from "./server-time.ts";
import type { AgentEnd, NodeFacts } from "./session.ts";
import type { RunStep } from "./step-context.ts";
import { createStepRunner } from "./steps.ts";
import { AGENT_VERSION } from "./version.ts";

/** A runner's key, and the tokens of its latest jobs and tasks. */
const MASKED_SECRETS = 16;

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
  if (command.kind === "probe-only") {
    const { probe, json } = command;
    return runProbeOnly(ownCommand(), probe, json, terminal, signal, clock);
  }
  if (command.kind !== "run") {
    terminal.stdout(command.kind === "help" ? HELP : `${AGENT_VERSION}\n`);
    return EXIT.completed;
  }
  const { options } = command;
  const loaded = options.replayFile === null ? null : loadReplay(options.replayFile);
  if (loaded !== null && !loaded.ok) return usage(loaded.message);
  const replay = loaded?.replay ?? null;
  const reached = await reach(options, env);
  if (!reached.ok) return usage(reached.message);
  const { transport } = reached;
  const { credential } = options;
  return credential.kind === "runner"
    ? runService(options, credential, replay, transport, terminal, signal)
    : runNode(options, credential.token, replay, transport, env, terminal, signal);
}

/** The way to the server: by which proxy, and trusting whom. */
async function reach(
  { host, caFile }: AgentOptions,
  env: Record<string, string | undefined>,
): Promise<{ ok: true; transport: Transport } | { ok: false; message: string }> {
  const server = new URL(host);
  const found = proxyFor(server, env);
  if (!found.ok) return found;
  const more = caFile === null ? null : readCertificates(caFile);
  if (more !== null && !more.ok) return more;
  const roots = more === null ? null : await rootsWith(more.certificates, env);
  return { ok: true, transport: createTransport(server, { proxy: found.proxy, roots }) };
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
): Promise<number> {
  let identity: Identity | { uuid: string; source: "given" };
  try {
    identity = options.machineUuid
      ? { uuid: options.machineUuid, source: "given" }
      : readIdentity(env);
  } catch (error) {
    return usageError(terminal, error instanceof Error ? error.message : String(error));
  }
  const machineUuid = identity.uuid;
  const secrets = [token];
  const log = createLog(terminal.stderr, clock.now, secrets);
  signal.addEventListener("abort", () => log(`${signal.reason}: stopping; the task stays open`));
  const { facts, runStep } = await prepare(options, replay, transport, log, signal);
  log(`assay agent ${AGENT_VERSION}, machine ${machineUuid}, server ${options.host}`);
  if (identity.source === "random") {
    log(
      `this machine has no lasting identity, and ${stateFolderOf(env)} cannot be written: its UUID is random, and a restarted agent would be another node. ASSAY_MACHINE_KEY or --machine-uuid gives it one`,
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
    state,
    conceal: (secret) => secrets.push(secret),
  });
  if (end.kind === "stopped") state.remove();
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
  transport: Transport,
  terminal: Terminal,
  stop: AbortSignal,
): Promise<number> {
  // Tokens of jobs come and go; the last few are masked.
  const secrets = [key];
  const conceal = (secret: string) => {
    if (!secrets.includes(secret)) secrets.push(secret);
    if (secrets.length > MASKED_SECRETS) secrets.splice(1, 1);
  };
  const log = createLog(terminal.stderr, clock.now, secrets);
  const leave = "finishing the step that runs, if any; once more to stop at once";
  stop.addEventListener("abort", () => log(`${stop.reason}: ${leave}`));
  const prepared = await prepare(options, replay, transport, log, stop).catch((error: unknown) => {
    if (!stop.aborted) throw error;
    return null;
  });
  // Nothing was claimed yet.
  if (prepared === null) return EXIT.completed;
  const { facts, runStep, readAgain } = prepared;
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
    readFacts: readAgain,
    onEnd: (end) => printTask(end, options, terminal),
    drain: { signal: stop, drainMs: DRAIN_SECONDS * 1_000 },
    runStep,
    clock,
    log,
    signal,
    giveUpAfterMs: options.giveUpAfterMs,
    transport: options.transport,
  });
  log(message);
  return kind === "stopped" ? EXIT.completed : EXIT.notCompleted;
}

/** The parts that every node needs, whether it acts for a job or a runner. */
async function prepare(
  options: AgentOptions,
  replay: Replay | null,
  { directHost }: Transport,
  log: Log,
  signal: AbortSignal,
): Promise<{
  facts: NodeFacts;
  runStep: RunStep;
  readAgain: (signal: AbortSignal) => Promise<MachineFacts>;
}> {
  let said = "";
  const sayNews: Log = (line) => {
    if (line !== said) log(line);
    said = line;
  };
  const readNow = (signal: AbortSignal) => readFacts(replay, sayNews, signal);
  const facts = await readNow(signal);
  let announced: readonly HostPort[] = [];
  const peers: PeerRules = {
    get announced() {
      return announced;
    },
    networks: options.clusterPeers,
    lookup: systemLookup,
  };
  const locateNode = async (): Promise<Location> => {
    const location = await locate(options.clusterAddress, directHost);
    announced = location.clusterAddresses;
    return location;
  };
  const measuring: Measuring =
    replay === null
      ? { kind: "gpus", command: ownCommand(), options: options.probe }
      : { kind: "replay", replay };
  return {
    facts: { locate: locateNode, facts, bootId: readBootId() },
    runStep: createStepRunner({ measuring, peers, clock, log, bounds: defaultBounds }),
    readAgain: readNow,
  };
}

/** Starts this program once more. */
function ownCommand(): string[] {
  return [process.execPath, process.argv[1] ?? "agent.mjs"];
}

function usageError(terminal: Terminal, message: string): number {
  terminal.stderr(`assay agent: ${message}\nRun with --help for the options.\n`);
  return EXIT.usage;
}

async function readFacts(
  replay: Replay | null,
  log: Log,
  signal: AbortSignal,
): Promise<MachineFacts> {
  if (replay !== null) {
    const { gpuModel, gpuCount } = replay;
    const gpuModels = [{ model: gpuModel, count: gpuCount }];
    return { gpuModel, gpuCount, gpuModels, inventory: { ...replay.inventory, replayed: true } };
  }
  const survey = await surveyGpus(signal);
  log(surveyLine(survey));
  return describeMachine(survey);
}

function printTask(end: AgentEnd, options: AgentOptions, terminal: Terminal): void {
  const { task, transport } = end;
  if (options.json) {
    if (task !== null) terminal.stdout(`${JSON.stringify({ ...task.wire, transport })}\n`);
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
