/** Copies between every two GPUs, in rounds of disjoint pairs: one way, the other way, both at once. */
import type { Lane } from "./lanes.ts";
import { withBuffers } from "./lanes.ts";
import { peerMethod } from "./methods.ts";
import { PAIRS, pairRounds } from "./plan.ts";
import { median } from "./rate.ts";

export interface PairFigure {
  from: number;
  to: number;
  method: string;
  simplexGbs: number;
  /** One way while the other way is loaded, too. */
  duplexGbs: number;
  /** Such as `nvlink_v4_12x`; null where the driver does not tell. */
  connection: string | null;
}

export interface PairOutcome {
  figures: PairFigure[];
  /** Pairs that the time was too short for. */
  left: number;
}

interface Transfer {
  from: Lane;
  to: Lane;
}

/** @param now a clock in ms; a round begins only before the budget is used up */
export function measurePairs(
  lanes: readonly Lane[],
  bytes: number,
  now: () => number,
  onRound: (share: number) => void,
): PairOutcome {
  const rounds = pairRounds(lanes.length);
  const deadline = now() + PAIRS.budgetMs;
  const figures: PairFigure[] = [];
  let left = 0;
  withBuffers(lanes, [bytes, bytes], (buffers) => {
    for (const [i, round] of rounds.entries()) {
      if (now() >= deadline) {
        left += round.length;
        continue;
      }
      const pairs = round.flatMap(([a, b]) => {
        const [from, to] = [lanes[a], lanes[b]];
        return from === undefined || to === undefined ? [] : [{ from, to }];
      });
      figures.push(...measureRound(pairs, buffers, bytes));
      onRound((i + 1) / rounds.length);
    }
  });
  return { figures, left };
}

function measureRound(
  pairs: readonly Transfer[],
  buffers: bigint[][],
  bytes: number,
): PairFigure[] {
  const reached = pairs.map(
    ({ from, to }) => from.gpu.enablePeer(to.gpu) && to.gpu.enablePeer(from.gpu),
  );
  const back = pairs.map(({ from, to }) => ({ from: to, to: from }));
  const there = measure(pairs, buffers, bytes);
  const andBack = measure(back, buffers, bytes);
  const both = measure([...pairs, ...back], buffers, bytes);
  return [...pairs, ...back].map(({ from, to }, i) => ({
    from: from.index,
    to: to.index,
    method: peerMethod(bytes),
    simplexGbs: [...there, ...andBack][i] ?? Number.NaN,
    duplexGbs: both[i] ?? Number.NaN,
    connection: connectionOf(from, to, reached[i % pairs.length] ?? false),
  }));
}

/** GB/s of transfers that all run at once; the first sample warms up. */
function measure(transfers: readonly Transfer[], buffers: bigint[][], bytes: number): number[] {
  const samples = Array.from({ length: PAIRS.samples + 1 }, () => {
    for (const { from, to } of transfers) {
      const [source, target] = [buffers[from.index]?.[0] ?? 0n, buffers[to.index]?.[1] ?? 0n];
      from.gpu.record(from.start);
      for (let i = 0; i < PAIRS.copies; i++) from.gpu.copyToPeer(target, to.gpu, source, bytes);
      from.gpu.record(from.end);
    }
    return transfers.map(({ from }) => {
      from.gpu.waitFor(from.end);
      return from.gpu.elapsedMs(from.start, from.end);
    });
  }).slice(1);
  return transfers.map(
    (_, i) => (PAIRS.copies * bytes) / 1e6 / median(samples.map((times) => times[i] ?? Number.NaN)),
  );
}

function connectionOf(from: Lane, to: Lane, isReached: boolean): string | null {
  const isLinked = from.telemetry?.isLinkedTo(to.gpu.description.busId) ?? null;
  if (isLinked === null) return null;
  if (!isLinked) return isReached ? "pcie" : "host";
  const { nvlink_version: version, nvlink_links: links } = from.telemetry?.facts() ?? {};
  return version === null || links === null ? "nvlink" : `nvlink_v${version}_${links}x`;
}
