/**
 * Linearizability check: searches for a sequential order of concurrent calls, each placed between its request
 * and its reply, that explains every reply. The algorithm is by Wing & Gong ("Testing and verifying concurrent
 * objects", 1993), with the memoization of Lowe ("Testing for linearizability", 2017).
 */
import { canonicalJson } from "../../../src/lib/json.ts";
import { type Answer, type Call, type JobModel, matchesAnswer, respond } from "./reference.ts";

export interface Operation {
  readonly call: Call;
  /** Index in the common order of all requests and replies, as is `answeredAt`. */
  readonly requestedAt: number;
  /** Infinite for a call without a reply, which may take effect at any later time or never. */
  readonly answeredAt: number;
  readonly answer: Answer | null;
}

/** One step of a call. A deletion has two, and other calls may see the ended job between them. */
interface Part extends Operation {
  /** Index of the part that must come first; null when there is none. */
  readonly after: number | null;
}

/** Returns `ok` if some order explains the history, otherwise the longest explained prefix. */
export function linearize(
  start: JobModel,
  history: readonly Operation[],
  now: number,
): { ok: true } | { ok: false; explained: number; stuckAt: Operation[] } {
  const parts = partsOf(history);
  const visited = new Set<string>();
  let best: { explained: number; stuckAt: Operation[] } = { explained: -1, stuckAt: [] };

  const search = (from: JobModel, done: ReadonlySet<number>): boolean => {
    const { world, played } = playReads(from, done);
    // A call without a reply may have had no effect.
    if (parts.every(({ answer }, index) => answer === null || played.has(index))) return true;
    const open = minimal(parts, played);
    const key = `${[...played].sort((a, b) => a - b).join()}|${canonicalJson(world)}`;
    if (visited.has(key)) return false;
    visited.add(key);
    if (played.size > best.explained) {
      best = { explained: played.size, stuckAt: open.flatMap((index) => parts[index] ?? []) };
    }
    return open.some((index) => {
      const after = play(world, index);
      return after !== null && search(after, new Set(played).add(index));
    });
  };

  /** The world after a part, or null when the part's reply does not fit this world. */
  const play = (world: JobModel, index: number): JobModel | null => {
    const part = parts[index];
    if (part === undefined) return null;
    const { world: after, answer } = respond(world, part.call, now);
    return part.answer === null || matchesAnswer(answer, part.answer) ? after : null;
  };

  /** Plays all reads that fit this world: a read changes nothing, so playing it first loses no order. */
  const playReads = (world: JobModel, done: ReadonlySet<number>) => {
    const played = new Set(done);
    for (;;) {
      const reads = minimal(parts, played).filter(
        (index) => parts[index]?.answer !== null && play(world, index) === world,
      );
      if (reads.length === 0) return { world, played };
      for (const index of reads) played.add(index);
    }
  };

  return search(start, new Set()) ? { ok: true } : { ok: false, ...best };
}

/** Parts that may come next: no unplayed part was answered before they were requested. */
function minimal(parts: readonly Part[], played: ReadonlySet<number>): number[] {
  let firstAnswer = Number.POSITIVE_INFINITY;
  for (const [index, part] of parts.entries()) {
    if (!played.has(index)) firstAnswer = Math.min(firstAnswer, part.answeredAt);
  }
  return [...parts.keys()]
    .filter((index) => {
      const part = parts[index];
      if (part === undefined || played.has(index) || part.requestedAt > firstAnswer) return false;
      return part.after === null || played.has(part.after);
    })
    .sort((a, b) => (parts[a]?.answeredAt ?? 0) - (parts[b]?.answeredAt ?? 0));
}

function partsOf(history: readonly Operation[]): Part[] {
  const parts: Part[] = [];
  for (const operation of history) {
    const { call, answer } = operation;
    if (call.kind !== "delete") {
      parts.push({ ...operation, after: null });
      continue;
    }
    const refused = answer?.status === 400;
    const prepared =
      answer === null ? null : refused ? answer : { status: 200, code: null, facts: {} };
    parts.push({
      ...operation,
      call: { kind: "prepare_deletion" },
      answer: prepared,
      after: null,
    });
    if (refused) continue;
    parts.push({ ...operation, call: { kind: "vanish" }, after: parts.length - 1 });
  }
  return parts;
}
