import type { Accepted, ApiClient, Ended, Refused, Unavailable } from "./api-client.ts";
import type { Clock } from "./clock.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";
import { clip, type Log } from "./log.ts";
import type { MachineFacts } from "./machine.ts";
import { type JobView, parseJobView, parseTask, type StepOutcome, type Task } from "./protocol.ts";
import { AGENT_VERSION } from "./version.ts";

/** Before the first contact there is no expiry to go by. */
const FIRST_CONTACT_MS = 600_000;
/** For the courtesy of knowing the final task; the job is over either way. */
const FINAL_LOOK_MS = 10_000;
/** Server limits, in code points. */
const MAX_ERROR_MESSAGE = 1_000;
const MAX_MESSAGE = 200;
/** Floor of the poll interval: a reply of 0 must not become a busy loop. */
const MIN_POLL_MS = 200;
const MAX_POLL_MS = 120_000;

export interface NodeFacts {
  machineIp: string | null;
  clusterAddress: HostPort;
  facts: MachineFacts;
}

export interface NodeIdentity extends NodeFacts {
  machineUuid: string;
}

/** Why the agent stops; `task` is the last known state of its task. */
export interface AgentEnd {
  kind: "stopped" | "error";
  message: string;
  task: Task | null;
}

export type Answer<T> = { ok: true; value: T } | { ok: false; end: AgentEnd };

/** `refused`: the server will never take this body. */
export type Receipt = { kind: "settled" | "not-ready" } | { kind: "refused"; message: string };

export interface Session {
  /** The view of this node; an unchanged one (304) is the last one again, with its new interval. */
  poll(): Promise<Answer<{ view: JobView; pollMs: number }>>;
  join(node: NodeIdentity): Promise<Answer<null>>;
  heartbeat(
    progress: number,
    message: string,
    signal: AbortSignal,
  ): Promise<Accepted | Ended | Refused | Unavailable>;
  putResult(position: number, body: string): Promise<Answer<Receipt>>;
  /** Says that this node will do no more, and why. Bounded: whoever leaves does not wait for long. */
  giveUp(why: string): Promise<AgentEnd>;
  /** The end after a stop, with the task as the server last has it. */
  end(message: string): Promise<AgentEnd>;
  taskId(): string | null;
}

/** One node's conversation about one job: what it knows, and until when it keeps trying. */
export function createSession(options: {
  client: ApiClient;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  /** What a claim has brought; a node without one joins. */
  task?: Task | undefined;
}): Session {
  const { client, clock, log, signal } = options;
  let giveUpAt = clock.now() + FIRST_CONTACT_MS;
  let task: Task | null = options.task ?? null;
  let last: { path: string; etag: string | null; view: JobView } | null = null;

  const viewPath = (): string => (task === null ? "" : `?task_id=${encodeURIComponent(task.id)}`);
  const stop = (kind: AgentEnd["kind"], message: string) => ({
    ok: false as const,
    end: { kind, message, task },
  });

  /** Turns what no caller handles itself into an end. */
  const settle = async (reply: Ended | Refused | Unavailable) => {
    if (reply.kind === "ended") return { ok: false as const, end: await end(reply.message) };
    const why = reply.kind === "refused" ? "refused" : "gave up on the server";
    return stop("error", `${why}: ${reply.message}`);
  };

  const poll: Session["poll"] = async () => {
    const path = viewPath();
    // A tag belongs to one view: the one before joining is another.
    const etag = last?.path === path ? last.etag : null;
    const reply = await client.request({ method: "GET", path, etag }, giveUpAt, signal);
    if (reply.kind !== "accepted") return settle(reply);
    if (reply.status === 304 && last !== null) {
      const pollMs = reply.retryAfterMs ?? last.view.pollAfterSeconds * 1000;
      return { ok: true, value: { view: last.view, pollMs: clampPoll(pollMs) } };
    }
    const view = parseJobView(reply.body);
    if (view === null) return stop("error", "the reply is not a job; is --host the control plane?");
    last = { path, etag: reply.etag, view };
    task = view.task ?? task;
    if (view.expiresAt !== null) {
      // Counted from the server's clock: a machine's own may be off by hours.
      giveUpAt = clock.now() + (view.expiresAt - (reply.serverNow ?? clock.now()));
    }
    return { ok: true, value: { view, pollMs: clampPoll(view.pollAfterSeconds * 1000) } };
  };

  const join: Session["join"] = async (node) => {
    const body = JSON.stringify({ machine_uuid: node.machineUuid, ...describeNode(node) });
    const reply = await client.request({ method: "POST", path: "/tasks", body }, giveUpAt, signal);
    if (reply.kind === "refused" && reply.code === "NODE_LIMIT_REACHED") {
      return stop("error", "the job is full: all its expected nodes have joined already");
    }
    if (reply.kind !== "accepted") return settle(reply);
    task = parseTask(reply.body);
    if (task === null) return stop("error", "the reply to joining holds no task");
    log(`${reply.status === 201 ? "joined" : "rejoined"} as node ${task.rank}, task ${task.id}`);
    return { ok: true, value: null };
  };

  const heartbeat: Session["heartbeat"] = (progress, message, beatSignal) => {
    const body = JSON.stringify({ progress, message: clip(message, MAX_MESSAGE) });
    return client.attempt({ method: "PATCH", path: `/tasks/${task?.id}`, body }, beatSignal);
  };

  const putResult: Session["putResult"] = async (position, body) => {
    const path = `/tasks/${task?.id}/results/${position}`;
    const reply = await client.request({ method: "PUT", path, body }, giveUpAt, signal);
    if (reply.kind === "accepted") return { ok: true, value: { kind: "settled" } };
    if (reply.kind !== "refused") return settle(reply);
    if (reply.code === "STEP_NOT_READY") return { ok: true, value: { kind: "not-ready" } };
    log(`result of step ${position} refused: ${reply.message}`);
    // The slot already holds another result, such as the server's own after it took this node for
    // lost: nothing is left to send.
    if (reply.status === 422) return { ok: true, value: { kind: "settled" } };
    return { ok: true, value: { kind: "refused", message: reply.message } };
  };

  const end: Session["end"] = async (message) => {
    if (task !== null) {
      const deadline = clock.now() + FINAL_LOOK_MS;
      const reply = await client.request({ method: "GET", path: viewPath() }, deadline, signal);
      if (reply.kind === "accepted") task = parseJobView(reply.body)?.task ?? task;
    }
    return { kind: "stopped", message, task };
  };

  const giveUp: Session["giveUp"] = async (why) => {
    const body = JSON.stringify({ state: "failed", failed_message: why });
    const deadline = clock.now() + FINAL_LOOK_MS;
    const path = `/tasks/${task?.id}`;
    const reply = await client.request({ method: "PATCH", path, body }, deadline, signal);
    if (reply.kind === "unavailable" || reply.kind === "refused") {
      const message = `could not give up the task (${reply.message}); it stays open`;
      return { kind: "error", message, task };
    }
    if (reply.kind === "accepted") task = parseTask(reply.body) ?? task;
    return { kind: "stopped", message: `gave up: ${why}`, task };
  };

  return { poll, join, heartbeat, putResult, giveUp, end, taskId: () => task?.id ?? null };
}

/** What a node tells about itself when it joins or claims. */
export function describeNode({ machineIp, clusterAddress, facts }: NodeFacts) {
  return {
    machine_ip: machineIp ?? undefined,
    cluster_address: formatHostPort(clusterAddress),
    gpu_model: facts.gpuModel ?? undefined,
    gpu_count: facts.gpuCount ?? undefined,
    // Reports name the software that measured.
    inventory: { ...facts.inventory, agent_version: AGENT_VERSION },
  };
}

/** The body of a result, serialised once so that every retry sends the same bytes. */
export function serialiseResult(outcome: StepOutcome, startedAt: number, endedAt: number): string {
  return JSON.stringify({
    state: outcome.state,
    started_at: new Date(startedAt).toISOString(),
    ended_at: new Date(endedAt).toISOString(),
    results: outcome.results,
    error_message:
      outcome.state === "failed" ? clip(outcome.errorMessage, MAX_ERROR_MESSAGE) : undefined,
  });
}

function clampPoll(ms: number): number {
  return Math.min(Math.max(ms, MIN_POLL_MS), MAX_POLL_MS);
}
