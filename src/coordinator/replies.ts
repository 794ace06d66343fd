/** Replies of a job's object to its nodes. */
import { matchesEntityTag } from "../http/entity-tag.ts";
import type { Outcome } from "./life/lifecycle.ts";
import type { Live } from "./life/model.ts";
import type { Leases } from "./storage/leases.ts";
import { etagOf, toNodeView, viewText } from "./wire/make-view.ts";
import type { NodeView } from "./wire/node-view.ts";
import type { NodeReply, Refusal, ResultReply, StepEnd, TaskReply } from "./wire/protocol.ts";

/** @param rank null for a caller that has not joined */
export function viewOf(live: Live, leases: Leases, rank: number | null): NodeView {
  const node = rank === null ? null : (live.job.nodes[rank] ?? null);
  const contact = rank === null ? undefined : leases.of(rank);
  return toNodeView(live.identity, live.job, node, contact, leases.leaseMs, Math.random);
}

/**
 * @param validator the ETag of the view that the caller has
 * @param isSettled see `NodeReply`
 */
export function pollReply(view: NodeView, validator: string | null, isSettled = false): NodeReply {
  const etag = etagOf(view);
  const isKnown = !isSettled && matchesEntityTag(validator, etag);
  return {
    ok: true,
    etag,
    pollAfterSeconds: view.poll_after_seconds,
    view: isKnown ? null : viewText(view),
    isSettled,
  };
}

/**
 * @param view of a node that has joined, so that it has a task
 * @param epoch of the token that a node gets by joining
 */
export function taskReply(
  view: NodeView,
  { created = false, epoch = null }: { created?: boolean; epoch?: number | null } = {},
): TaskReply {
  const { task, poll_after_seconds } = view;
  return {
    ok: true,
    etag: etagOf(view),
    pollAfterSeconds: poll_after_seconds,
    task: JSON.stringify({ ...task, poll_after_seconds }),
    created,
    epoch,
  };
}

/** Built from the job's plan and the request alone, except the ETag, so that a repeat gets the same reply. */
export function resultReply(view: NodeView, benchmarkId: string, end: StepEnd): ResultReply {
  return { ok: true, etag: etagOf(view), benchmarkId, end };
}

export function refusalOf(outcome: Outcome): Refusal {
  if (outcome.ok) throw new Error("An accepted outcome is not a refusal");
  return outcome;
}

/** The refusal of a call that does not speak for its node; it is no contact. */
export function strangerRefused(epoch: number | null): Refusal {
  return { ok: false, reason: epoch === null ? "token_missing" : "token_wrong" };
}
