import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { MIB } from "../lib/bytes.ts";
import { systemClock } from "../lib/clock.ts";
import type { Live, Node } from "./life/model.ts";
import { measurerOf } from "./measurer.ts";
import { refusalOf } from "./replies.ts";
import type { JobRuntime } from "./runtime.ts";
import type { Refusal } from "./wire/protocol.ts";
import { checkResults, type SentResult } from "./wire/results.ts";

/** Bound on all results of a job together. */
const MAX_RESULT_BYTES = 16 * MIB;
/**
 * Bound on the implausible fields of all results of a job together, as JSON: they are in the rows of D1 and in every
 * detail. From then on, only the first of each result is listed.
 */
const MAX_IMPLAUSIBLE_BYTES = MIB;

/** Stores a result and ends its step; answers the refusal, or null. */
export function acceptResult(
  runtime: JobRuntime,
  live: Live,
  node: Node,
  position: number,
  sent: SentResult,
): Refusal | null {
  const { storage, leases } = runtime;
  const { rank } = node;
  if (node.steps[position]?.state !== "running") {
    runtime.touch(live, node);
    return { ok: false, reason: "not_ready" };
  }
  const benchmark = benchmarkOf(live.identity.sequence[position]?.benchmark_id ?? "");
  const { isAnonymous } = live.identity;
  const context = { rank, nodeCount: live.job.nodeCount, state: sent.end.state, isAnonymous };
  const measurer = measurerOf(storage, node, benchmark);
  const checked = checkResults(benchmark, sent, { ...context, ...measurer });
  if (!checked.ok) return checked;
  const { results } = checked;
  const stored = storage.resultCounter.bytes;
  if (results !== null && stored.results + results.bytes.length > MAX_RESULT_BYTES) {
    return { ok: false, reason: "job_too_large" };
  }
  const outcome = runtime.apply(
    live,
    { type: "result", rank, position, ...sent.end },
    (version) => {
      const { bytes = null, implausible: all = [] } = results ?? {};
      const isListed = stored.implausible < MAX_IMPLAUSIBLE_BYTES;
      const implausible = isListed ? all : all.slice(0, 1);
      const of = { rank, position, hash: sent.hash, version, hardware: measurer.hardware };
      const row = { ...of, implausible, results: bytes };
      storage.saveResult(row, results?.digest ?? null);
      leases.begin(rank, systemClock.now(), sent.end);
    },
  );
  return outcome.ok ? null : refusalOf(outcome);
}
