/** The end of a job for one of its nodes: the server's verdict, or the number of nodes that it waits for. */
import type { ApiClient } from "./api-client.ts";
import type { Clock } from "./clock.ts";
import { type JobView, type Outcome, parseJobView } from "./protocol.ts";
import type { Session } from "./session.ts";

/** Rating follows the end of the job within seconds; the agent does not wait for longer. */
const PATIENCE_MS = 10_000;
/** Between two looks. */
const LOOK_MS = 1_000;

export interface Conclusion {
  outcome: Outcome | null;
  /** Nodes without which the job is not rated; null if unknown. */
  unfinishedNodes: number | null;
}

/**
 * Looks for the verdict on this node. A job that other nodes still work on has none, and is not waited for.
 *
 * @param view the last one, which may lack the verdict
 * @returns null if the server does not answer in time
 */
export async function conclude(
  { client, clock, signal }: { client: ApiClient; clock: Clock; signal: AbortSignal },
  session: Session,
  view: JobView | null,
): Promise<Conclusion | null> {
  const own = session.own();
  let last = view;
  const deadline = clock.elapsed() + PATIENCE_MS;
  for (let looks = 0; own !== null; looks++) {
    if (last !== null && isFinal(last)) break;
    if (looks > 0) {
      // An older server says nothing of verdicts.
      if (last?.outcome === null || clock.elapsed() + LOOK_MS >= deadline) break;
      await clock.sleep(LOOK_MS, signal);
    }
    const path = `?task_id=${encodeURIComponent(own.id)}`;
    const request = { method: "GET", path, taskToken: own.token } as const;
    const reply = await client.request(request, deadline, signal);
    if (reply.kind !== "accepted") break;
    last = parseJobView(reply.body);
    if (last === null) break;
  }
  return last === null ? null : { outcome: last.outcome, unfinishedNodes: last.unfinishedNodes };
}

/** Nothing more will be said soon: others are still at work, or the verdict is there, or nothing is to be rated. */
function isFinal({ isSettled, outcome, benchmarkIds, task }: JobView): boolean {
  if (!isSettled) return true;
  if (outcome === null) return false;
  return (
    outcome.performance !== null ||
    !benchmarkIds.includes("quick_mark") ||
    task?.state !== "completed"
  );
}
