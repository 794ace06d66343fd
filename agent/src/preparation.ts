/** What an agent needs before it acts: the way to the server, facts of its machine, and what runs its steps. */
import type { AgentOptions } from "./args.ts";
import { systemClock as clock } from "./clock.ts";
import { defaultBounds } from "./cluster-network/bounds.ts";
import { type Location, locate } from "./cluster-network/own-addresses.ts";
import { type PeerRules, systemLookup } from "./cluster-network/peer-address.ts";
import { UsageError } from "./ending.ts";
import type { ProbeOptions } from "./gpu/messages.ts";
import type { HostPort } from "./host-port.ts";
import { explainError } from "./http/connection.ts";
import { proxyFor } from "./http/proxy.ts";
import { createTransport, type Transport } from "./http/transport.ts";
import { readCertificates, rootsWith } from "./http/trust.ts";
import type { Log } from "./log.ts";
import { type MachineFacts, readBootId, readFacts } from "./machine.ts";
import type { NodeFacts } from "./node-facts.ts";
import type { Measuring } from "./quick-mark.ts";
import type { Replay } from "./replay.ts";
import type { RunStep } from "./step-context.ts";
import { createStepRunner } from "./steps.ts";

/**
 * Fetches cuBLASLt if that was asked for. Null when it cannot be had: whoever wants that one library wants no figures of
 * another.
 *
 * @throws when `signal` aborts
 */
export async function withCublas(
  { probe, fetchCublas: isWanted }: { probe: ProbeOptions; fetchCublas: boolean },
  env: Record<string, string | undefined>,
  roots: string[] | null,
  say: Log,
  signal: AbortSignal,
): Promise<ProbeOptions | null> {
  if (!isWanted) return probe;
  try {
    const { fetchCublas } = await import("./gpu/fetch-cublas.ts");
    return { ...probe, cublas: await fetchCublas({ env, roots, say, signal }), engine: "cublaslt" };
  } catch (error) {
    signal.throwIfAborted();
    say(
      `cuBLAS cannot be fetched: ${explainError(error)}. Leave out --fetch-cublas to use another engine`,
    );
    return null;
  }
}

/**
 * The roots that connections trust, with those of a file; null for the defaults alone.
 *
 * @throws UsageError
 */
export async function rootsOf(
  caFile: string | null,
  env: Record<string, string | undefined>,
): Promise<string[] | null> {
  const more = caFile === null ? null : readCertificates(caFile);
  if (more !== null && !more.ok) throw new UsageError(more.message);
  return more === null ? null : rootsWith(more.certificates, env);
}

/**
 * The way to the server: by which proxy, and trusting whom.
 *
 * @throws UsageError
 */
export async function reach(
  { host, caFile }: AgentOptions,
  env: Record<string, string | undefined>,
): Promise<{ transport: Transport; roots: string[] | null }> {
  const server = new URL(host);
  const found = proxyFor(server, env);
  if (!found.ok) throw new UsageError(found.message);
  const roots = await rootsOf(caFile, env);
  return { transport: createTransport(server, { proxy: found.proxy, roots }), roots };
}

/** The parts that every node needs, whether it acts for a job or a runner. */
export async function prepare(
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
  const { diskPath } = options;
  const readNow = (signal: AbortSignal) => readFacts(replay, diskPath, sayNews, signal);
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
  const host = { command: ownCommand(), diskPath: options.diskPath };
  return {
    facts: { locate: locateNode, facts, bootId: readBootId() },
    runStep: createStepRunner({ measuring, host, peers, clock, log, bounds: defaultBounds }),
    readAgain: readNow,
  };
}

/** Starts this program once more. */
export function ownCommand(): string[] {
  return [process.execPath, process.argv[1] ?? "agent.mjs"];
}
