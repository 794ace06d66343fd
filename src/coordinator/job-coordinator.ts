import { DurableObject } from "cloudflare:workers";
import { KIB } from "../lib/bytes.ts";
import { SECOND_MS, systemClock } from "../lib/clock.ts";
import { rankOf } from "../lib/ids.ts";
import { acceptResult } from "./accept-result.ts";
import type { Channel } from "./channel/channel.ts";
import { JoinLimiter } from "./join-limiter.ts";
import { type Joiner, needsToken, speaksFor } from "./life/access.ts";
import { isSettled, type Live, type Node } from "./life/model.ts";
import type { Projection } from "./projection/projection.ts";
import type { JobRecord } from "./projection/records.ts";
import {
  pollReply,
  refusalOf,
  resultReply,
  strangerRefused,
  taskReply,
  viewOf,
} from "./replies.ts";
import { JobRuntime } from "./runtime.ts";
import { isSameAgent } from "./same-agent.ts";
import { resultsOf, streamBodies } from "./storage/body-stream.ts";
import type { Leases } from "./storage/leases.ts";
import type { CoordinatorStorage, StoredBody } from "./storage/storage.ts";
import { readMachine, type SentMachine, specCheckOf } from "./wire/machine.ts";
import type { NodeView } from "./wire/node-view.ts";
import type {
  Coordinator,
  LiveDetail,
  LiveTask,
  NodeReply,
  Reconciled,
  Refusal,
  ResultReply,
  Seen,
  TaskReply,
  TaskUpdate,
  Watched,
} from "./wire/protocol.ts";
import { readResult } from "./wire/results.ts";

/** Bound of the inventory in a job without an account; all of it is free in form. */
const ANONYMOUS_INVENTORY_KIB = 32;

/**
 * One object per job. It answers the calls of the job's nodes and of its owner; `JobRuntime` holds and changes
 * the job.
 */
export class JobCoordinator extends DurableObject<Env> implements Coordinator {
  readonly #runtime: JobRuntime;
  readonly #storage: CoordinatorStorage;
  readonly #leases: Leases;
  readonly #projection: Projection;
  readonly #joins = new JoinLimiter(systemClock);
  #channel: Channel | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#runtime = new JobRuntime(ctx, env, systemClock);
    this.#storage = this.#runtime.storage;
    this.#leases = this.#runtime.leases;
    this.#projection = this.#runtime.projection;
    this.#runtime.onChange((live, before) => {
      if (this.#runtime.sockets.all().length === 0) return;
      if (this.#channel !== null) this.#channel.announce(live, before);
      else ctx.waitUntil(this.#openChannel().then((channel) => channel.announce(live, before)));
    });
  }

  async #openChannel(): Promise<Channel> {
    const { Channel } = await import("./channel/channel.ts");
    this.#channel ??= new Channel({ runtime: this.#runtime, env: this.env, clock: systemClock });
    return this.#channel;
  }

  /** See `Coordinator`. */
  override async fetch(request: Request): Promise<Response> {
    const jobId = Number(new URL(request.url).searchParams.get("job"));
    const opened = await (await this.#openChannel()).open(jobId);
    return "ok" in opened
      ? Response.json(opened)
      : new Response(null, { status: 101, webSocket: opened });
  }

  override async webSocketMessage(socket: WebSocket, sent: string | ArrayBuffer): Promise<void> {
    await (await this.#openChannel()).hear(socket, sent);
  }

  override async webSocketClose(socket: WebSocket): Promise<void> {
    await (await this.#openChannel()).end(socket);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await (await this.#openChannel()).end(socket);
  }

  async poll(
    jobId: number,
    taskId: number | null,
    validator: string | null,
    epoch: number | null = null,
  ): Promise<NodeReply | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    let node = taskId === null ? null : this.#nodeOf(live, taskId);
    // Any caller of an ended job is told to stop, even with an unknown task or without its token.
    if (isSettled(live.job)) {
      if (node && !speaksFor(node, epoch)) node = null;
    } else {
      if (node === undefined) return { ok: false, reason: "task_unknown" };
      if (node && !speaksFor(node, epoch)) return strangerRefused(epoch);
    }
    if (node) this.#runtime.touch(live, node);
    const view = this.#view(live, node?.rank ?? null);
    if (node && view.directive === "stop") this.#leases.tellToStop([node.rank]);
    return pollReply(view, validator, node != null && isSettled(live.job));
  }

  async join(jobId: number, sent: SentMachine, by: Joiner = {}): Promise<TaskReply | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    const check = await specCheckOf(live.identity.expectedSpec);
    const wait = this.#joins.take();
    if (wait !== null) return { ok: false, reason: "too_many_joins", retryAfterSeconds: wait };
    if (live.identity.isForRunners && by.isClaim !== true) {
      return { ok: false, reason: "claims_only" };
    }
    const { machine, inventory } = readMachine(sent, check);
    const kib = live.identity.isAnonymous ? ANONYMOUS_INVENTORY_KIB : Infinity;
    if ((inventory?.length ?? 0) > kib * KIB)
      return { ok: false, reason: "anonymous_too_large", what: "The inventory", kib };
    const { nodes } = live.job;
    const node = nodes.find((each) => each.machine.machineUuid === machine.machineUuid);
    const takesOver = node !== undefined && !isSettled(live.job) && !isSameAgent(node, by);
    if (takesOver) {
      // A caller that only claims to be this machine must not keep its node from being lost.
      const retryAfterSeconds = Math.ceil(this.#leases.pinnedRestOf(live, node) / SECOND_MS);
      if (retryAfterSeconds > 0) return { ok: false, reason: "machine_in_use", retryAfterSeconds };
      this.#runtime.tick(live);
    }
    // A lost machine returns by joining again: its lease must be new before the lifecycle looks at it.
    if (node !== undefined) this.#leases.renew(live, node, {});
    const event = { type: "join", machine, by, takesOver } as const;
    const outcome = this.#runtime.apply(live, event, (_version, rank) => {
      // An ended node has measured with what it had.
      if (rank !== null && !node?.endedAt) this.#storage.saveInventory(rank, inventory);
    });
    if (!outcome.ok || outcome.rank === null) return refusalOf(outcome);
    const joined = live.job.nodes[outcome.rank];
    const epoch = joined !== undefined && needsToken(joined) ? joined.access.epoch : null;
    const created = live.job.nodes.length > nodes.length;
    return taskReply(this.#view(live, outcome.rank), { created, epoch });
  }

  async heartbeat(
    jobId: number,
    taskId: number,
    update: TaskUpdate,
    epoch: number | null = null,
  ): Promise<TaskReply | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    const node = this.#nodeOf(live, taskId);
    if (isSettled(live.job)) return this.#ended(node, epoch);
    if (node === undefined) return { ok: false, reason: "task_unknown" };
    if (!speaksFor(node, epoch)) return strangerRefused(epoch);
    const { rank } = node;
    if (update.giveUp === undefined) {
      this.#runtime.touch(live, node, update);
    } else {
      // A lost node returns and gives up in one event, so that no step starts for it in between.
      this.#leases.renew(live, node, update);
      const outcome = this.#runtime.apply(live, { type: "give_up", rank, message: update.giveUp });
      if (!outcome.ok) return refusalOf(outcome);
    }
    return taskReply(this.#view(live, rank));
  }

  async putResult(
    jobId: number,
    taskId: number,
    position: number,
    body: string,
    epoch: number | null = null,
  ): Promise<ResultReply | Refusal> {
    const result = readResult(body);
    if (!result.ok) return result;
    const { sent } = result;
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    const node = this.#nodeOf(live, taskId);
    if (node === undefined)
      return { ok: false, reason: isSettled(live.job) ? "ended" : "task_unknown" };
    if (!speaksFor(node, epoch))
      return isSettled(live.job) ? this.#ended(node, epoch) : strangerRefused(epoch);
    const { sequence } = live.identity;
    const benchmarkId = sequence[position]?.benchmark_id;
    if (benchmarkId === undefined) {
      return { ok: false, reason: "position_invalid", positions: sequence.length };
    }
    // A running step has none.
    const hasEnded = node.steps[position]?.state !== "running";
    const storedHash = hasEnded ? this.#storage.resultHash(node.rank, position) : null;
    if (storedHash !== null) {
      this.#runtime.touch(live, node);
      if (storedHash !== sent.hash) return { ok: false, reason: "slot_taken" };
    } else {
      if (isSettled(live.job)) return this.#ended(node, epoch);
      const refusal = acceptResult(this.#runtime, live, node, position, sent);
      if (refusal !== null) return refusal;
    }
    return resultReply(this.#view(live, node.rank), benchmarkId, sent.end);
  }

  async detail(
    jobId: number,
    part: "results" | "cluster" = "results",
  ): Promise<LiveDetail | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    const bodies = resultsOf(this.#storage.bodies(), live.identity.sequence, part);
    const { job, tasks: all } = this.#projection.since(live, -1);
    // The owner's detail does not show figures; of 64 GPUs in each of 256 nodes they take megabytes.
    const tasks = all.map((task) => ({ ...task, figures: null }));
    return { ok: true, job, tasks, bodies: streamBodies(this.#storage, bodies) };
  }

  async task(jobId: number, taskId: number): Promise<LiveTask | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    const node = this.#nodeOf(live, taskId);
    if (node === undefined) return { ok: false, reason: "task_unknown" };
    const bodies = this.#storage.bodies().filter(({ rank }) => rank === node.rank);
    return {
      ok: true,
      task: this.#projection.task(live, node),
      bodies: streamBodies(this.#storage, bodies),
    };
  }

  async bodies(
    jobId: number,
    wanted: readonly StoredBody[],
  ): Promise<{ ok: true; bodies: ReadableStream<Uint8Array> } | Refusal> {
    const live = await this.#runtime.open(jobId);
    return "ok" in live ? live : { ok: true, bodies: streamBodies(this.#storage, wanted) };
  }

  watch(jobId: number, seen: Seen, waitMs: number): Promise<Watched | Refusal> {
    return this.#runtime.watch(jobId, seen, waitMs);
  }

  async abort(jobId: number): Promise<{ ok: true; job: JobRecord } | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    const outcome = this.#runtime.apply(live, { type: "abort" });
    return outcome.ok ? { ok: true, job: this.#projection.job(live) } : refusalOf(outcome);
  }

  async prepareDeletion(
    jobId: number,
    version?: number,
  ): Promise<{ ok: true; requiresAgentStop: boolean } | Refusal> {
    const live = await this.#runtime.open(jobId);
    if ("ok" in live) return live;
    if ((version ?? live.job.version) !== live.job.version) return { ok: false, reason: "changed" };
    const outcome = this.#runtime.apply(live, { type: "delete" });
    return outcome.ok
      ? { ok: true, requiresAgentStop: this.#leases.hasAgentAtWork() }
      : refusalOf(outcome);
  }

  async reconcile(
    jobId: number,
    knownVersion: number,
    lacksBodies = false,
  ): Promise<Reconciled | Refusal> {
    return this.#runtime.reconcile(jobId, knownVersion, lacksBodies);
  }

  override async alarm(): Promise<void> {
    await this.#runtime.wake();
  }

  /** The refusal of a call after the job's end, which tells the node to stop. */
  #ended(node: Node | undefined, epoch: number | null): Refusal {
    if (node !== undefined && speaksFor(node, epoch)) this.#leases.tellToStop([node.rank]);
    return { ok: false, reason: "ended" };
  }

  #nodeOf(live: Live, taskId: number): Node | undefined {
    const rank = rankOf(live.identity.jobId, taskId);
    return rank === null ? undefined : live.job.nodes[rank];
  }

  #view(live: Live, rank: number | null): NodeView {
    return viewOf(live, this.#leases, rank);
  }
}
