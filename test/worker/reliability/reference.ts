/**
 * What must hold of one job for whoever calls: the pure lifecycle, and the reply that follows from it.
 * It says nothing of objects, storage, alarms or D1, so that these can be held against it.
 */
import { decide, type Event, type Outcome } from "../../../src/coordinator/lifecycle.ts";
import {
  isActive,
  isSettled,
  type Job,
  type Node,
  newJob,
} from "../../../src/coordinator/model.ts";
import { toTimestamp } from "../../../src/lib/clock.ts";
import { canonicalJson } from "../../../src/lib/json.ts";
import {
  CLUSTER_NETWORK,
  type MachineChoice,
  machineOf,
  type Plan,
  type ResultChoice,
  resultEvent,
} from "./machines.ts";

export interface World {
  readonly plan: Plan;
  readonly job: Job;
  /** What was accepted for each slot, by `rank:position`. */
  readonly results: { readonly [slot: string]: ResultChoice };
  readonly deleted: boolean;
}

export type Call =
  | { readonly kind: "join"; readonly machine: MachineChoice }
  | { readonly kind: "poll"; readonly rank: number | null }
  | { readonly kind: "heartbeat" | "give_up"; readonly rank: number }
  | {
      readonly kind: "result";
      readonly rank: number;
      readonly position: number;
      readonly choice: ResultChoice;
    }
  | { readonly kind: "abort" | "delete" | "detail" }
  /** The two steps of a deletion: nothing happens in the job any more; it vanishes. */
  | { readonly kind: "prepare_deletion" | "vanish" };

/** A reply, as far as it is determined; `facts` are what a client acts on. */
export interface Told {
  readonly status: number;
  readonly code: string | null;
  readonly facts: { readonly [fact: string]: unknown };
}

export interface Turn {
  readonly world: World;
  readonly told: Told;
}

export const GIVE_UP_MESSAGE = "out of memory";

export function newWorld(plan: Plan, expiresAt: number): World {
  const steps = plan.benchmarks.map((id) => ({ key: id, cluster: id === CLUSTER_NETWORK }));
  const job = newJob({ nodeCount: plan.nodeCount, plan: steps, expiresAt });
  return { plan, job, results: {}, deleted: false };
}

export const slotOf = (rank: number, position: number) => `${rank}:${position}`;

/** Whether a call is made with the job's token, by its nodes. */
export function isNodeCall({ kind }: Call): boolean {
  return ["join", "poll", "heartbeat", "give_up", "result"].includes(kind);
}

/** The nodes that a call is a sign of life of: one at most. */
export function heardIn(call: Call, { job }: World): Node | undefined {
  if (call.kind === "join") {
    const { machineUuid } = machineOf(call.machine);
    return job.nodes.find(({ machine }) => machine.machineUuid === machineUuid);
  }
  return "rank" in call && call.rank !== null ? job.nodes[call.rank] : undefined;
}

/** Plays one call on its own: what comes of it, and what its caller is told. */
export function respond(world: World, call: Call, now: number): Turn {
  if (isNodeCall(call) && now >= world.job.expiresAt) {
    return { world, told: refusal(401, "CLIENT_TOKEN_INVALID") };
  }
  switch (call.kind) {
    case "join":
      return join(world, call.machine, now);
    case "poll":
      return poll(world, call.rank, now);
    case "heartbeat":
    case "give_up":
      return report(world, call.kind, call.rank, now);
    case "result":
      return takeResult(world, call, now);
    case "abort":
      return abort(world, now);
    case "delete": {
      const prepared = prepareDeletion(world, now);
      return prepared.told.code === null ? vanish(prepared.world) : prepared;
    }
    case "prepare_deletion":
      return prepareDeletion(world, now);
    case "vanish":
      return vanish(world);
    case "detail":
      return detail(world, now);
  }
}

/** Time passes, and of the nodes that may count as lost it is these. */
export function passTime(
  world: World,
  lost: ReadonlySet<number>,
  leaseMs: number,
  now: number,
): World {
  const lastContacts = world.job.nodes.map(({ rank }) => (lost.has(rank) ? now - leaseMs : now));
  return play(world, { type: "tick", lastContacts, leaseMs }, now).world;
}

function play(world: World, event: Event, now: number): { world: World; outcome: Outcome } {
  const { job, outcome } = decide(world.job, event, now);
  return { world: job === world.job ? world : { ...world, job }, outcome };
}

/** Any call of a node is a sign of life, whatever else comes of it, unless it cannot be read (400). */
function hear(world: World, rank: number, now: number): World {
  return play(world, { type: "contact", rank }, now).world;
}

const refusal = (status: number, code: string): Told => ({ status, code, facts: {} });
const accepted = (facts: Told["facts"] = {}, status = 200): Told => ({ status, code: null, facts });
const ENDED = refusal(409, "JOB_ENDED");
const UNKNOWN = refusal(404, "RESOURCE_NOT_FOUND");

function join(world: World, machine: MachineChoice, now: number): Turn {
  const { world: after, outcome } = play(world, { type: "join", machine: machineOf(machine) }, now);
  if (!outcome.ok) {
    const full = refusal(409, "NODE_LIMIT_REACHED");
    return { world: after, told: outcome.reason === "full" ? full : ENDED };
  }
  const isNew = after.job.nodes.length > world.job.nodes.length;
  return { world: after, told: accepted({ rank: outcome.rank }, isNew ? 201 : 200) };
}

function poll(world: World, rank: number | null, now: number): Turn {
  const known = rank === null ? null : world.job.nodes[rank];
  if (known === undefined && !isSettled(world.job)) return { world, told: UNKNOWN };
  const after = known ? hear(world, known.rank, now) : world;
  const { job } = after;
  const node = known ? job.nodes[known.rank] : undefined;
  const facts = {
    state: job.state,
    current_nodes: job.nodes.length,
    ...whatToDo(job, node),
    // What a deleted job's version is, nobody needs to know.
    ...(after.deleted ? {} : { version: job.version }),
  };
  return { world: after, told: accepted(facts) };
}

function whatToDo(job: Job, node: Node | undefined) {
  if (isSettled(job)) return { directive: "stop", position: null };
  if (node === undefined) return { directive: "join", position: null };
  const open = node.steps.findIndex(
    ({ endedAt, state }) => endedAt === null && state !== "aborted",
  );
  if (open === -1) return { directive: "stop", position: null };
  const runs = node.steps[open]?.state === "running";
  return { directive: runs ? "run" : "wait", position: runs ? open : null };
}

function report(world: World, kind: "heartbeat" | "give_up", rank: number, now: number): Turn {
  if (isSettled(world.job)) return { world, told: ENDED };
  if (world.job.nodes[rank] === undefined) return { world, told: UNKNOWN };
  if (kind === "heartbeat") return { world: hear(world, rank, now), told: accepted() };
  const event: Event = { type: "give_up", rank, message: GIVE_UP_MESSAGE };
  return { world: play(world, event, now).world, told: accepted() };
}

function takeResult(world: World, call: Extract<Call, { kind: "result" }>, now: number): Turn {
  const { rank, position, choice } = call;
  const settled = isSettled(world.job);
  const node = world.job.nodes[rank];
  if (node === undefined) return { world, told: settled ? ENDED : UNKNOWN };
  const invalid = refusal(400, "PARAMETER_INCORRECT_VALUE");
  if (position >= world.plan.benchmarks.length) return { world, told: invalid };
  const heard = hear(world, rank, now);
  const slot = slotOf(rank, position);
  const stored = world.results[slot];
  if (stored !== undefined) {
    const told = stored === choice ? accepted() : refusal(422, "IDEMPOTENCY_KEY_REUSED");
    return { world: heard, told };
  }
  if (settled) return { world, told: ENDED };
  if (node.steps[position]?.state !== "running") {
    return { world: heard, told: refusal(409, "STEP_NOT_READY") };
  }
  if (choice === "invalid") return { world, told: invalid };
  const { world: after } = play(world, resultEvent(rank, position, choice), now);
  return { world: { ...after, results: { ...after.results, [slot]: choice } }, told: accepted() };
}

function abort(world: World, now: number): Turn {
  if (world.deleted) return { world, told: UNKNOWN };
  const { world: after, outcome } = play(world, { type: "abort" }, now);
  if (!outcome.ok) return { world: after, told: refusal(400, "JOB_STATE_INVALID") };
  return { world: after, told: accepted({ ended_at: toTimestamp(after.job.endedAt) }) };
}

function prepareDeletion(world: World, now: number): Turn {
  if (world.deleted) return { world, told: accepted() };
  const { world: after, outcome } = play(world, { type: "delete" }, now);
  return { world: after, told: outcome.ok ? accepted() : refusal(400, "JOB_STATE_INVALID") };
}

function vanish(world: World): Turn {
  if (world.deleted) return { world, told: UNKNOWN };
  return { world: { ...world, deleted: true }, told: accepted() };
}

function detail(world: World, now: number): Turn {
  if (world.deleted) return { world, told: UNKNOWN };
  // A job whose time is over has ended for whoever looks at it, also before anything has settled it.
  const after = now >= world.job.expiresAt ? passTime(world, new Set(), 0, now) : world;
  return { world: after, told: accepted(seenOf(after.job)) };
}

/** Whether a reply says what it must; it may say more. */
export function isTold(must: Told, told: Told): boolean {
  return (
    must.status === told.status &&
    must.code === told.code &&
    Object.entries(must.facts).every(
      ([fact, value]) => canonicalJson(told.facts[fact] ?? null) === canonicalJson(value ?? null),
    )
  );
}

/** What the owner sees of a job. */
export function seenOf(job: Job) {
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

/** Every set of nodes that may count as lost by now: those out of contact for a whole lease. */
export function losable(
  { job }: World,
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
