import type { Accepted, ApiClient, ApiRequest, Ended, Refused, Unavailable } from "./api-client.ts";
import type { Clock } from "./clock.ts";
import type { Conclusion } from "./conclusion.ts";
import type { JobState } from "./job-state.ts";
import { clip, type Log } from "./log.ts";
import { describeNode, type NodeFacts } from "./node-facts.ts";
import { type JobView, parseJobView, parseTask, type Task } from "./protocol.ts";
import { createSkew, type Skew } from "./server-time.ts";

/** Before the first contact there is no expiry to go by. */
export const FIRST_CONTACT_MS = 600_000;
/** For the courtesy of knowing the final task; the job is over either way. */
const FINAL_LOOK_MS = 10_000;
/** Server limit, in code points. */
export const MAX_MESSAGE = 200;
/** Floor of the poll interval: a reply of 0 must not become a busy loop. */
const MIN_POLL_MS = 200;
const MAX_POLL_MS = 120_000;
/** The server takes a node for lost after this time without contact, unless it is set up otherwise. */
const LEASE_MS = 150_000;
/** For an agent that was killed a moment before this one asked. */
const LEASE_GRACE_MS = 30_000;

export interface NodeIdentity extends NodeFacts {
  machineUuid: string;
}

/** Why the agent stops; `task` is the last known state of its task. */
export interface AgentEnd {
  kind: "stopped" | "error";
  message: string;
  task: Task | null;
  /** How it heard of changes last. */
  transport?: "channel" | "polling" | undefined;
  /** That told it to stop. */
  view?: JobView | undefined;
  /** Of an agent that waits for the verdict; null if the server did not say. */
  conclusion?: Conclusion | null | undefined;
}

export type Answer<T> = { ok: true; value: T } | { ok: false; end: AgentEnd };

/** `refused`: the server will never take this body. */
export type Receipt = { kind: "settled" | "not-ready" } | { kind: "refused"; message: string };

export interface Polled {
  view: JobView;
  pollMs: number;
}

export interface Session {
  /** The view of this node; an unchanged one (304) is the last one again, with its new interval. */
  poll(): Promise<Answer<Polled>>;
  /** Takes over a view that the server has sent by itself. */
  learn(etag: string | null, view: JobView): Polled;
  /** Validator of the last view of this task. */
  etag(): string | null;
  /** Time until the job expires, ms. */
  restMs(): number;
  join(node: NodeIdentity): Promise<Answer<null>>;
  skew: Skew;
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
  /** This node's task and its token. */
  own(): { id: string; token: string | null } | null;
  /** False until this process has joined or claimed, also where it knows its task from an earlier one. */
  hasJoined(): boolean;
}

/** One node's conversation about one job: what it knows, and until when it keeps trying. */
export function createSession(options: {
  client: ApiClient;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  /** The task that a claim has brought; a node without one joins. */
  task?: Task | undefined;
  /** The time for which a request is tried; by default until the job's expiry, the first for `FIRST_CONTACT_MS`. */
  giveUpAfterMs?: number | null | undefined;
  /** Of a node that joins. */
  state?: JobState | undefined;
  /** Called with what no log may show. */
  conceal?: ((secret: string) => void) | undefined;
}): Session {
  const { client, clock, log, signal, state, conceal = () => {} } = options;
  /** Of the job, by `clock.elapsed`; null until the server has told it. */
  let expiresAt: number | null = null;
  let task: Task | null = options.task ?? null;
  /** Of this node, as an earlier process left it or as it was got. */
  let own: { id: string; token: string | null } | null = task ?? state?.kept.task ?? null;
  let hasJoined = task !== null;
  let last: { path: string; etag: string | null; view: JobView } | null = null;

  if (own?.token) conceal(own.token);

  const skew = createSkew({ clock, log, serverTime: client.serverTime });
  const viewPath = (): string => (own === null ? "" : `?task_id=${encodeURIComponent(own.id)}`);
  /** A tag belongs to one view: the one before joining is another. */
  const etag = (): string | null => (last?.path === viewPath() ? last.etag : null);
  const giveUpAt = (): number => {
    const patience = options.giveUpAfterMs ?? (expiresAt === null ? FIRST_CONTACT_MS : Infinity);
    return Math.min(expiresAt ?? Infinity, clock.elapsed() + patience);
  };
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
    const request = { method: "GET", path, etag: etag(), taskToken: own?.token ?? null } as const;
    const isWanted = (body: unknown) => parseJobView(body) !== null;
    const reply = await client.request({ ...request, isWanted }, giveUpAt(), signal);
    if (reply.kind === "refused" && own !== null && !hasJoined) {
      // The task that the earlier process left is no longer valid: this process begins anew.
      own = null;
      return poll();
    }
    if (reply.kind !== "accepted") return settle(reply);
    if (reply.status === 304 && last !== null) {
      const pollMs = reply.retryAfterMs ?? last.view.pollAfterSeconds * 1000;
      return { ok: true, value: { view: last.view, pollMs: clampPoll(pollMs) } };
    }
    const view = parseJobView(reply.body);
    // Never: the client would have asked again.
    if (view === null) return stop("error", "the server's reply is not a job");
    return { ok: true, value: learn(reply.etag, view, path, reply.serverNow) };
  };

  const learn = (
    etag: string | null,
    view: JobView,
    path = viewPath(),
    serverNow: number | null = null,
  ): Polled => {
    last = { path, etag, view };
    task = view.task ?? task;
    if (view.expiresAt !== null) {
      // Counted from the server's clock: a machine's own may be off by hours.
      const now = client.serverTime.at(clock.elapsed()) ?? serverNow ?? clock.now();
      expiresAt = clock.elapsed() + (view.expiresAt - now);
    }
    skew.tell();
    return { view, pollMs: clampPoll(view.pollAfterSeconds * 1000) };
  };

  const join: Session["join"] = async (node) => {
    const { machineUuid: machine_uuid } = node;
    const join_secret = state?.kept.joinSecret;
    const body = JSON.stringify({ machine_uuid, join_secret, ...(await describeNode(node)) });
    const isWanted = (reply: unknown) => parseTask(reply) !== null;
    const reply = await knock({ method: "POST", path: "/tasks", body, isWanted });
    if (reply === "in use") {
      const hint = `give this agent its own --machine-uuid (now ${machine_uuid})`;
      return stop("error", `another agent is this machine's node in the job: ${hint}`);
    }
    if (reply.kind === "refused" && reply.code === "NODE_LIMIT_REACHED") {
      return stop(
        "error",
        "the job is full: all expected nodes have joined, and this machine is not one of them",
      );
    }
    if (reply.kind !== "accepted") return settle(reply);
    task = parseTask(reply.body);
    // Never, as above.
    if (task === null) return stop("error", "the reply to joining has no task");
    own = { id: task.id, token: task.token };
    hasJoined = true;
    if (task.token !== null) {
      conceal(task.token);
      state?.save({ id: task.id, token: task.token });
    }
    log(`${reply.status === 201 ? "joined" : "rejoined"} as node ${task.rank}, task ${task.id}`);
    return { ok: true, value: null };
  };

  /** Joins, and waits out the lease of an agent that was killed; "in use" if that one is still there then. */
  const knock = async (request: ApiRequest) => {
    let until: number | null = null;
    for (;;) {
      const reply = await client.request(request, giveUpAt(), signal);
      if (reply.kind !== "refused" || reply.code !== "MACHINE_IN_USE") return reply;
      const waitMs = Math.max(MIN_POLL_MS, reply.retryAfterMs ?? LEASE_MS);
      if (until === null) {
        until = clock.elapsed() + Math.max(waitMs, LEASE_MS) + LEASE_GRACE_MS;
        const seconds = Math.ceil(waitMs / 1000);
        log(
          `another agent is this machine's node in the job. If that agent was killed, its place is free in ${seconds} s: waiting`,
        );
      }
      const left = until - clock.elapsed();
      if (left <= 0) return "in use";
      await clock.sleep(Math.min(waitMs, left), signal);
    }
  };

  /** A call about this node's task. */
  const ofTask = (method: "PATCH" | "PUT", rest: string, body: string): ApiRequest => ({
    method,
    path: `/tasks/${own?.id}${rest}`,
    body,
    taskToken: own?.token ?? null,
  });

  const heartbeat: Session["heartbeat"] = (progress, message, beatSignal) => {
    const clock_skew_ms = skew.now() ?? undefined;
    const body = JSON.stringify({ progress, message: clip(message, MAX_MESSAGE), clock_skew_ms });
    return client.attempt(ofTask("PATCH", "", body), beatSignal);
  };

  const putResult: Session["putResult"] = async (position, body) => {
    const request = ofTask("PUT", `/results/${position}`, body);
    const reply = await client.request(request, giveUpAt(), signal);
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
    if (own !== null) {
      const deadline = clock.elapsed() + FINAL_LOOK_MS;
      const request = { method: "GET", path: viewPath(), taskToken: own.token } as const;
      const reply = await client.request(request, deadline, signal);
      if (reply.kind === "accepted") task = parseJobView(reply.body)?.task ?? task;
    }
    return { kind: "stopped", message, task };
  };

  const giveUp: Session["giveUp"] = async (why) => {
    const body = JSON.stringify({ state: "failed", failed_message: why });
    const deadline = clock.elapsed() + FINAL_LOOK_MS;
    const reply = await client.request(ofTask("PATCH", "", body), deadline, signal);
    if (reply.kind === "unavailable" || reply.kind === "refused") {
      const message = `could not give up the task (${reply.message}); it stays open`;
      return { kind: "error", message, task };
    }
    if (reply.kind === "accepted") task = parseTask(reply.body) ?? task;
    return { kind: "stopped", message: `gave up: ${why}`, task };
  };

  const taskId = () => own?.id ?? null;
  return {
    poll,
    learn,
    etag,
    restMs: () => (expiresAt ?? Infinity) - clock.elapsed(),
    own: () => own,
    join,
    heartbeat,
    putResult,
    giveUp,
    end,
    taskId,
    skew,
    hasJoined: () => hasJoined,
  };
}

function clampPoll(ms: number): number {
  return Math.min(Math.max(ms, MIN_POLL_MS), MAX_POLL_MS);
}
