/**
 * Reference model of one job, as callers see it: the pure lifecycle, and the reply that follows from it.
 * It ignores objects, storage, alarms and D1, so that they can be tested against it.
 */
import { decide, type Event, type Outcome } from "../../../src/coordinator/life/lifecycle.ts";
import {
  isActive,
  isSettled,
  type Job,
  type Node,
  newJob,
} from "../../../src/coordinator/life/model.ts";
import { toTimestamp } from "../../../src/lib/clock.ts";
import { canonicalJson } from "../../../src/lib/json.ts";
import {
  CLUSTER_NETWORK,
  joinEvent,
  type MachineChoice,
  machineOf,
  type Plan,
  type ResultChoice,
  resultEvent,
} from "./machines.ts";

export interface JobModel {
  readonly plan: Plan;
  readonly job: Job;
  /** The accepted result of each slot, by `rank:position`. */
  readonly results: { readonly [slot: string]: ResultChoice };
  readonly deleted: boolean;
}

export type Call =
  | { readonly kind: "join"; readonly machine: MachineChoice }
  | { readonly kind: "poll"; readonly rank: number | null; readonly stranger?: boolean }
  | {
      readonly kind: "heartbeat" | "give_up";
      readonly rank: number;
      readonly stranger?: boolean;
    }
  | {
      readonly kind: "result";
      /** Without the token of the task. */
      readonly stranger?: boolean;
      readonly rank: number;
      readonly position: number;
      readonly choice: ResultChoice;
    }
  | { readonly kind: "abort" | "delete" | "detail" }
  /** The two steps of a deletion: the job is closed, then removed. */
  | { readonly kind: "prepare_deletion" | "vanish" };

/** The determined part of a reply; `facts` are the fields that clients act on. */
export interface Answer {
  readonly status: number;
  readonly code: string | null;
  readonly facts: { readonly [fact: string]: unknown };
}

export interface Turn {
  readonly world: JobModel;
  readonly answer: Answer;
}

export const GIVE_UP_MESSAGE = "out of memory";

export function newJobModel(plan: Plan, expiresAt: number): JobModel {
  const steps = plan.benchmarks.map((id) =>
    id === CLUSTER_NETWORK
      ? { key: id, cluster: true }
      : { key: id, cluster: false, measures: true },
  );
  const job = newJob({ nodeCount: plan.nodeCount, plan: steps, expiresAt });
  return { plan, job, results: {}, deleted: false };
}

export const slotOf = (rank: number, position: number) => `${rank}:${position}`;

/** True for calls that nodes make with the job's token. */
export function isNodeCall({ kind }: Call): boolean {
  return ["join", "poll", "heartbeat", "give_up", "result"].includes(kind);
}

/** The node that a call proves to be alive, if any. */
export function contactIn(call: Call, { job }: JobModel): Node | undefined {
  if (call.kind === "join") {
    const { machineUuid } = machineOf(call.machine);
    return job.nodes.find(({ machine }) => machine.machineUuid === machineUuid);
  }
  if (!("rank" in call) || call.rank === null || call.stranger) return undefined;
  return job.nodes[call.rank];
}

/** Plays one call: the world after it, and the caller's reply. */
export function respond(world: JobModel, call: Call, now: number): Turn {
  if (isNodeCall(call) && now >= world.job.expiresAt) {
    return { world, answer: refusal(401, "CLIENT_TOKEN_INVALID") };
  }
  switch (call.kind) {
    case "join":
      return join(world, call.machine, now);
    case "poll":
      return poll(world, call, now);
    case "heartbeat":
    case "give_up":
      return report(world, call, now);
    case "result":
      return takeResult(world, call, now);
    case "abort":
      return abort(world, now);
    case "delete": {
      const prepared = prepareDeletion(world, now);
      return prepared.answer.code === null ? vanish(prepared.world) : prepared;
    }
    case "prepare_deletion":
      return prepareDeletion(world, now);
    case "vanish":
      return vanish(world);
    case "detail":
      return detail(world, now);
  }
}

/** Lets time pass, after which exactly the nodes in `lost` count as out of contact. */
export function passTime(
  world: JobModel,
  lost: ReadonlySet<number>,
  leaseMs: number,
  now: number,
): JobModel {
  const lastContacts = world.job.nodes.map(({ rank }) => (lost.has(rank) ? now - leaseMs : now));
  return play(world, { type: "tick", lastContacts, leaseMs }, now).world;
}

function play(world: JobModel, event: Event, now: number): { world: JobModel; outcome: Outcome } {
  const { job, outcome } = decide(world.job, event, now);
  return { world: job === world.job ? world : { ...world, job }, outcome };
}

/** Records contact: every call of a node counts, unless the call cannot be read (400). */
function hear(world: JobModel, rank: number, now: number): JobModel {
  return play(world, { type: "contact", rank }, now).world;
}

const refusal = (status: number, code: string): Answer => ({ status, code, facts: {} });
const accepted = (facts: Answer["facts"] = {}, status = 200): Answer => ({
  status,
  code: null,
  facts,
});
const ENDED = refusal(409, "JOB_ENDED");
const UNKNOWN = refusal(404, "RESOURCE_NOT_FOUND");
const STRANGER = refusal(403, "PERMISSION_DENIED");

function join(world: JobModel, machine: MachineChoice, now: number): Turn {
  const { world: after, outcome } = play(world, joinEvent(machine), now);
  if (!outcome.ok) {
    const full = refusal(409, "NODE_LIMIT_REACHED");
    return { world: after, answer: outcome.reason === "full" ? full : ENDED };
  }
  const isNew = after.job.nodes.length > world.job.nodes.length;
  return { world: after, answer: accepted({ rank: outcome.rank }, isNew ? 201 : 200) };
}

function poll(
  world: JobModel,
  { rank, stranger = false }: Extract<Call, { kind: "poll" }>,
  now: number,
): Turn {
  const named = rank === null ? null : world.job.nodes[rank];
  if (named === undefined && !isSettled(world.job)) return { world, answer: UNKNOWN };
  if (named && stranger && !isSettled(world.job)) return { world, answer: STRANGER };
  const caller = stranger ? null : named;
  const after = caller ? hear(world, caller.rank, now) : world;
  const { job } = after;
  const node = caller ? job.nodes[caller.rank] : undefined;
  const facts = {
    state: job.state,
    current_nodes: job.nodes.length,
    ...directiveFor(job, node),
    // The version of a deleted job is not part of the contract.
    ...(after.deleted ? {} : { version: job.version }),
  };
  return { world: after, answer: accepted(facts) };
}

function directiveFor(job: Job, node: Node | undefined) {
  if (isSettled(job)) return { directive: "stop", position: null };
  if (node === undefined) return { directive: "join", position: null };
  const open = node.steps.findIndex(
    ({ endedAt, state }) => endedAt === null && state !== "aborted",
  );
  if (open === -1) return { directive: "stop", position: null };
  const runs = node.steps[open]?.state === "running";
  return { directive: runs ? "run" : "wait", position: runs ? open : null };
}

function report(
  world: JobModel,
  { kind, rank, stranger }: Extract<Call, { kind: "heartbeat" | "give_up" }>,
  now: number,
): Turn {
  if (isSettled(world.job)) return { world, answer: ENDED };
  if (world.job.nodes[rank] === undefined) return { world, answer: UNKNOWN };
  if (stranger) return { world, answer: STRANGER };
  if (kind === "heartbeat") return { world: hear(world, rank, now), answer: accepted() };
  const event: Event = { type: "give_up", rank, message: GIVE_UP_MESSAGE };
  return { world: play(world, event, now).world, answer: accepted() };
}

function takeResult(world: JobModel, call: Extract<Call, { kind: "result" }>, now: number): Turn {
  const { rank, position, choice, stranger } = call;
  const settled = isSettled(world.job);
  const node = world.job.nodes[rank];
  if (node === undefined) return { world, answer: settled ? ENDED : UNKNOWN };
  if (stranger) return { world, answer: settled ? ENDED : STRANGER };
  const invalid = refusal(400, "PARAMETER_INCORRECT_VALUE");
  if (position >= world.plan.benchmarks.length) return { world, answer: invalid };
  const afterContact = hear(world, rank, now);
  const slot = slotOf(rank, position);
  const stored = world.results[slot];
  if (stored !== undefined) {
    const answer = stored === choice ? accepted() : refusal(422, "IDEMPOTENCY_KEY_REUSED");
    return { world: afterContact, answer };
  }
  if (settled) return { world, answer: ENDED };
  if (node.steps[position]?.state !== "running") {
    return { world: afterContact, answer: refusal(409, "STEP_NOT_READY") };
  }
  if (choice === "invalid") return { world, answer: invalid };
  const { world: after } = play(world, resultEvent(rank, position, choice), now);
  return { world: { ...after, results: { ...after.results, [slot]: choice } }, answer: accepted() };
}

function abort(world: JobModel, now: number): Turn {
  if (world.deleted) return { world, answer: UNKNOWN };
  const { world: after, outcome } = play(world, { type: "abort" }, now);
  if (!outcome.ok) return { world: after, answer: refusal(400, "JOB_STATE_INVALID") };
  return { world: after, answer: accepted({ ended_at: toTimestamp(after.job.endedAt) }) };
}

function prepareDeletion(world: JobModel, now: number): Turn {
  if (world.deleted) return { world, answer: accepted() };
  const { world: after, outcome } = play(world, { type: "delete" }, now);
  return { world: after, answer: outcome.ok ? accepted() : refusal(400, "JOB_STATE_INVALID") };
}

function vanish(world: JobModel): Turn {
  if (world.deleted) return { world, answer: UNKNOWN };
  return { world: { ...world, deleted: true }, answer: accepted() };
}

function detail(world: JobModel, now: number): Turn {
  if (world.deleted) return { world, answer: UNKNOWN };
  // An expired job reads as ended, even before the object has settled it.
  const after = now >= world.job.expiresAt ? passTime(world, new Set(), 0, now) : world;
  return { world: after, answer: accepted(ownerView(after.job)) };
}

/** True if a reply contains every expected field; it may have more. */
export function matchesAnswer(must: Answer, answer: Answer): boolean {
  return (
    must.status === answer.status &&
    must.code === answer.code &&
    Object.entries(must.facts).every(
      ([fact, value]) => canonicalJson(answer.facts[fact] ?? null) === canonicalJson(value ?? null),
    )
  );
}

/** The owner's view of a job. */
export function ownerView(job: Job) {
  return {
    state: job.state,
    current_nodes: job.nodes.length,
    started_at: toTimestamp(job.startedAt),
    ended_at: toTimestamp(job.endedAt),
    events: job.events.map((event) => ({ ...event, at: toTimestamp(event.at) })),
    tasks: job.nodes.map((node) => ({
      rank: node.rank,
      machine_uuid: node.machine.machineUuid,
      machine_ip: node.machine.machineIp,
      state: node.state,
      failed_message: node.failedMessage,
      started_at: toTimestamp(node.startedAt),
      ended_at: toTimestamp(node.endedAt),
      benchmark_states: node.steps.filter((s) => s.startedAt !== null).map(({ state }) => state),
    })),
  };
}

/** Every set of nodes that may count as lost by now: any subset of those silent for a whole lease. */
export function losable(
  { job }: JobModel,
  heardAt: readonly number[],
  leaseMs: number,
  now: number,
): Set<number>[] {
  let sets = [new Set<number>()];
  for (const node of job.nodes) {
    const silentMs = now - (heardAt[node.rank] ?? node.joinedAt);
    if (!isActive(node) || silentMs < leaseMs) continue;
    sets = sets.concat(sets.map((set) => new Set(set).add(node.rank)));
  }
  return sets;
}
