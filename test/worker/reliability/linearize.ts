/**
 * Decides whether a history of concurrent calls can be explained by playing them one at a time, each at
 * some moment between its request and its reply. Search as by Wing & Gong ("Testing and verifying concurrent
 * objects", 1993), with the memo of Lowe ("Testing for linearizability", 2017).
 */
import { canonicalJson } from "../../../src/lib/json.ts";
import { type Call, isTold, respond, type Told, type World } from "./reference.ts";

export interface Operation {
  readonly call: Call;
  /** Places in one order of all requests and replies. */
  readonly askedAt: number;
  /** Infinite for a call without a reply: it may take effect at any time, or never. */
  readonly answeredAt: number;
  readonly told: Told | null;
}

/** A deletion is two steps, between which others may see the job: it has ended, but is still there. */
interface Part extends Operation {
  /** Index of the part that comes before this one. */
  readonly after: number | null;
}

/** Whether some order explains it; else how far the best attempt came. */
export function linearize(
  start: World,
  history: readonly Operation[],
  now: number,
): { ok: true } | { ok: false; explained: number; stuckAt: Operation[] } {
  const parts = partsOf(history);
  const seen = new Set<string>();
  let best: { explained: number; stuckAt: Operation[] } = { explained: -1, stuckAt: [] };

  const search = (from: World, done: ReadonlySet<number>): boolean => {
    const { world, played } = playReads(from, done);
    // A call without a reply need not have taken effect.
    if (parts.every(({ told }, index) => told === null || played.has(index))) return true;
    const open = minimal(parts, played);
    const key = `${[...played].sort((a, b) => a - b).join()}|${canonicalJson(world)}`;
    if (seen.has(key)) return false;
    seen.add(key);
    if (played.size > best.explained) {
      best = { explained: played.size, stuckAt: open.flatMap((index) => parts[index] ?? []) };
    }
    return open.some((index) => {
      const after = play(world, index);
      return after !== null && search(after, new Set(played).add(index));
    });
  };

  /** The world after a part, or null when its reply cannot be explained here. */
  const play = (world: World, index: number): World | null => {
    const part = parts[index];
    if (part === undefined) return null;
    const { world: after, told } = respond(world, part.call, now);
    return part.told === null || isTold(told, part.told) ? after : null;
  };

  /** What changes nothing and is explained now need not wait: later it could only be harder to explain. */
  const playReads = (world: World, done: ReadonlySet<number>) => {
    const played = new Set(done);
    for (;;) {
      const reads = minimal(parts, played).filter(
        (index) => parts[index]?.told !== null && play(world, index) === world,
      );
      if (reads.length === 0) return { world, played };
      for (const index of reads) played.add(index);
    }
  };

  return search(start, new Set()) ? { ok: true } : { ok: false, ...best };
}

/** Parts that may come next: nothing that is still to be played was answered before they were asked. */
function minimal(parts: readonly Part[], played: ReadonlySet<number>): number[] {
  let firstAnswer = Number.POSITIVE_INFINITY;
  for (const [index, part] of parts.entries()) {
    if (!played.has(index)) firstAnswer = Math.min(firstAnswer, part.answeredAt);
  }
  return [...parts.keys()]
    .filter((index) => {
      const part = parts[index];
      if (part === undefined || played.has(index) || part.askedAt > firstAnswer) return false;
      return part.after === null || played.has(part.after);
    })
    .sort((a, b) => (parts[a]?.answeredAt ?? 0) - (parts[b]?.answeredAt ?? 0));
}

function partsOf(history: readonly Operation[]): Part[] {
  const parts: Part[] = [];
  for (const operation of history) {
    const { call, told } = operation;
    if (call.kind !== "delete") {
      parts.push({ ...operation, after: null });
      continue;
    }
    const refused = told?.status === 400;
    const prepared = told === null ? null : refused ? told : { status: 200, code: null, facts: {} };
    parts.push({
      ...operation,
      call: { kind: "prepare_deletion" },
      told: prepared,
      after: null,
    });
    if (refused) continue;
    parts.push({ ...operation, call: { kind: "vanish" }, after: parts.length - 1 });
  }
  return parts;
}
