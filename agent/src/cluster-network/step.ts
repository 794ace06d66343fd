import type { Log } from "../log.ts";
import type { Step, StepOutcome } from "../protocol.ts";
import type { StepContext } from "../step-context.ts";
import { type Bounds, pairMs, turnMs } from "./bounds.ts";
import { type Channel, FRAME, LinkError } from "./channel.ts";
import type { Identity } from "./handshake.ts";
import { type LinkFigures, measurePair, nextWhileAlive } from "./measure.ts";
import { type Meeting, openMeeting } from "./meeting.ts";
import type { PeerRules } from "./peer-address.ts";
import { schedule } from "./schedule.ts";

/** The config's `duration_seconds`: least streaming time of each directed link. */
const DURATION_SECONDS = { default: 0.5, min: 0.5, max: 30 };

interface Turn {
  /** 0-based, also where nodes before this one rest. */
  round: number;
  rounds: number;
  partner: number;
  role: "connector" | "acceptor";
}

/**
 * cluster_network: measures this node's links with every other node. A link that fails is an entry
 * with an error, not a failed step; the step fails when no link at all could be measured.
 */
export function runClusterNetwork(
  step: Step,
  context: StepContext,
  tools: { rules: PeerRules; bounds: Bounds; log: Log },
): Promise<StepOutcome> {
  const seconds = step.config.duration_seconds ?? DURATION_SECONDS.default;
  const { min, max } = DURATION_SECONDS;
  if (typeof seconds !== "number" || !(seconds >= min && seconds <= max)) {
    return Promise.resolve(failed(`duration_seconds must be a number from ${min} to ${max}`));
  }
  return measureLinks(step, context, { ...tools, durationMs: seconds * 1000 });
}

/** As `runClusterNetwork`, with the streaming time given. Rejects only when the signal aborts. */
export async function measureLinks(
  step: Pick<Step, "position" | "peerKey">,
  context: StepContext,
  tools: { rules: PeerRules; bounds: Bounds; log: Log; durationMs: number },
): Promise<StepOutcome> {
  const { nodes, signal, report } = context;
  const { bounds, log, durationMs, rules } = tools;
  const self = nodes.find((node) => node.taskId === context.taskId);
  if (self === undefined) return failed("the server's list of nodes does not name this node");
  if (nodes.length < 2) return failed("a network measurement needs at least two nodes");
  if (step.peerKey === null || !/^([0-9a-f]{2}){16,}$/i.test(step.peerKey)) {
    return failed("the server sent no usable key for the nodes to authenticate with");
  }
  const identity: Identity = {
    jobId: context.jobId,
    position: step.position,
    key: Buffer.from(step.peerKey, "hex"),
    rank: self.rank,
  };
  const peers = nodes
    .filter((node) => node !== self)
    .map((node) => ({ rank: node.rank, addresses: node.clusterAddresses }));
  const startedAt = performance.now();
  const opened = await openMeeting({ self: identity, peers, rules, bounds, log });
  if (!opened.ok) return failed(opened.message);
  const { meeting } = opened;
  const abort = (): void => void meeting.close();
  signal.addEventListener("abort", abort);

  const measured = new Map<number, LinkFigures | LinkError>();
  try {
    for (const turn of turnsOf(self.rank, [self.rank, ...peers.map((peer) => peer.rank)])) {
      signal.throwIfAborted();
      report(
        measured.size / peers.length,
        `round ${turn.round + 1} of ${turn.rounds}: node ${self.rank} ↔ node ${turn.partner}`,
      );
      const patience = startedAt + turnMs(bounds, durationMs, turn.round);
      measured.set(turn.partner, await takeTurn(meeting, turn, patience, { bounds, durationMs }));
    }
  } finally {
    signal.removeEventListener("abort", abort);
    await meeting.close();
  }
  signal.throwIfAborted();
  return summarise(self.rank, measured, log);
}

/** This node's partners in the order of the rounds; every node derives the same rounds. */
function turnsOf(self: number, ranks: number[]): Turn[] {
  const sorted = [...ranks].sort((a, b) => a - b);
  const rounds = schedule(sorted.length);
  return rounds.flatMap((pairs, round) =>
    pairs.flatMap((pair): Turn[] => {
      const [low, high] = pair.map((index) => sorted[index]);
      if (low === undefined || high === undefined) return [];
      const common = { round, rounds: rounds.length };
      if (low === self) return [{ ...common, partner: high, role: "connector" }];
      return high === self ? [{ ...common, partner: low, role: "acceptor" }] : [];
    }),
  );
}

/** One pair of one round: waits for the partner, measures, and always comes back in bounded time. */
async function takeTurn(
  meeting: Meeting,
  turn: Turn,
  patience: number,
  options: { bounds: Bounds; durationMs: number },
): Promise<LinkFigures | LinkError> {
  const { bounds, durationMs } = options;
  const link = await meeting.linkTo(turn.partner);
  if (!link.ok) return new LinkError(link.message);
  const { channel } = link;
  let limit: NodeJS.Timeout | undefined;
  try {
    await awaitPartner(channel, bounds, patience);
    const withinMs = pairMs(bounds, durationMs);
    limit = setTimeout(() => channel.close(`not done within ${withinMs / 1000} s`), withinMs);
    return await measurePair(channel, turn.role, { durationMs, bounds });
  } catch (error) {
    if (error instanceof LinkError) return error;
    throw error;
  } finally {
    clearTimeout(limit);
    // A failed direction ends the pair: the other one would only spend its bounds again.
    channel.close("this pair's turn is over");
  }
}

/** Both say "ready" when their round has come; until then keepalives show that waiting has a point. */
async function awaitPartner(channel: Channel, bounds: Bounds, patience: number): Promise<void> {
  channel.send(FRAME.ready);
  const frame = await nextWhileAlive(channel, bounds.silenceMs, patience);
  if (frame === null) throw new LinkError("the other node did not become ready in time");
  if (frame.type !== FRAME.ready) throw new LinkError("the other node broke the protocol");
}

function summarise(
  self: number,
  measured: Map<number, LinkFigures | LinkError>,
  log: Log,
): StepOutcome {
  const links = [...measured].sort(([a], [b]) => a - b);
  const measurements = links.map(([partner, link]) => ({
    source_rank: self,
    target_rank: partner,
    ...(link instanceof LinkError ? { error: link.message } : link),
  }));
  const errors = links.filter(([, link]) => link instanceof LinkError);
  for (const [partner, link] of errors) {
    if (link instanceof LinkError) log(`link ${self} → ${partner}: ${link.message}`);
  }
  return errors.length < links.length
    ? { state: "completed", results: { measurements } }
    : failed("no link of this node could be measured", { measurements });
}

function failed(errorMessage: string, results?: Record<string, unknown>): StepOutcome {
  return { state: "failed", errorMessage, ...(results === undefined ? {} : { results }) };
}
