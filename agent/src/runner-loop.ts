import { childController } from "./abort.ts";
import type { Accepted, ApiClient, Ended, Refused, Unavailable } from "./api-client.ts";
import { type ChannelBounds, channelBounds } from "./channel/bounds.ts";
import type { MachineFacts } from "./machine.ts";
import { describeNode, type NodeFacts } from "./node-facts.ts";
import { isRecord, parseTask, type Task } from "./protocol.ts";
import { backoffMs } from "./retry.ts";
import { type Agent, rest, runAgent } from "./run-loop.ts";
import { type AgentEnd, FIRST_CONTACT_MS } from "./session.ts";
import { createWaiting, type Waiting } from "./waiting.ts";

/** Between claims when the server names no interval. */
const DEFAULT_IDLE_MS = 10_000;
/** A runner that waits reads its machine's facts again after this time; and after each job. */
const FACTS_AGE_MS = 600_000;
/** To send the result of the last step, or to give up, once the step is over. */
const LAST_WORDS_MS = 20_000;
/** Floor of that interval: a reply of 0 must not become a busy loop. */
const MIN_IDLE_MS = 1_000;

export interface Runner
  extends Pick<
    Agent,
    "runStep" | "clock" | "log" | "signal" | "giveUpAfterMs" | "conceal" | "transport"
  > {
  /** Of the runner: its requests are below the runner's own path. */
  client: ApiClient;
  /** Makes the client of a job that was claimed. */
  clientOfJob: (token: string) => ApiClient;
  node: NodeFacts;
  /** Reads the machine's facts again, before a claim: a GPU may have been lost since the start. */
  readFacts?: ((drain: AbortSignal) => Promise<MachineFacts>) | undefined;
  drain: NonNullable<Agent["drain"]>;
  channelBounds?: ChannelBounds | undefined;
  /** Called with the end of each job. */
  onEnd: (end: AgentEnd) => void;
}

interface Claim {
  jobId: string;
  token: string;
  task: Task;
}

type ClaimReply = Accepted | Ended | Refused | Unavailable;

type End = { kind: "stopped" | "error"; message: string };

/**
 * Claims one job after the other and runs each as its node, until it is told to leave or the server
 * refuses its key. Leaving takes `drainMs` for a step and a little more to say so, also without a server.
 */
export async function serveRunner(runner: Runner): Promise<End> {
  const { clock, drain } = runner;
  const { controller, release } = childController(runner.signal);
  const timer = new AbortController();
  const leave = () => {
    clock.sleep(drain.drainMs + LAST_WORDS_MS, timer.signal).then(
      () => controller.abort(new Error("stopping took too long")),
      () => {}, // Left in time.
    );
  };
  drain.signal.addEventListener("abort", leave, { once: true });
  try {
    const own = { ...runner, signal: controller.signal };
    const waiting = createWaiting({
      client: runner.client,
      choice: runner.transport ?? "auto",
      bounds: runner.channelBounds ?? channelBounds,
      clock,
      log: runner.log,
      signal: AbortSignal.any([controller.signal, drain.signal]),
      pause: (ms) => rest(own, ms),
    });
    return await claimAndRun(own, waiting).finally(waiting.close);
  } catch (error) {
    if (!drain.signal.aborted || !controller.signal.aborted) throw error;
    return {
      kind: "error",
      message: "stopped without an answer from the server; the task stays open",
    };
  } finally {
    drain.signal.removeEventListener("abort", leave);
    timer.abort();
    release();
  }
}

async function claimAndRun(runner: Runner, waiting: Waiting): Promise<End> {
  const { log, drain, client, signal, clock } = runner;
  let node = runner.node;
  let readAt = clock.elapsed();
  let patience = runner.giveUpAfterMs ?? FIRST_CONTACT_MS;
  let answeredAt = clock.elapsed();
  let failures = 0;
  let isIdle = false;
  while (!drain.signal.aborted) {
    if (clock.elapsed() - readAt > FACTS_AGE_MS) {
      const facts = await runner.readFacts?.(drain.signal).catch(ifLeaving(drain.signal));
      if (drain.signal.aborted) break;
      if (facts !== undefined) node = { ...node, facts };
      readAt = clock.elapsed();
    }
    const body = JSON.stringify(await describeNode(node));
    waiting.asks();
    // Not cut off by the wish to leave: a claim under way may have taken a place, which is then given up.
    const isWanted = (reply: unknown) => reply === null || parseClaim(reply) !== null;
    const request = { method: "POST", path: "/jobs", body, isWanted } as const;
    const reply = await client.attempt(request, signal);
    if (reply.kind !== "unavailable") {
      // A standing machine outlasts every outage of a server that it has met.
      patience = runner.giveUpAfterMs ?? Infinity;
    }
    if (reply.kind === "ended") {
      const hint = "the key is not the runner's, was rotated, or the runner is archived";
      return { kind: "error", message: `the server refused the key (${reply.message}): ${hint}` };
    }
    if (reply.kind === "refused") return { kind: "error", message: `refused: ${reply.message}` };
    const claim = reply.kind === "accepted" ? parseClaim(reply.body) : null;
    if (claim !== null) {
      waiting.close();
      failures = 0;
      isIdle = false;
      const end = await runJob({ ...runner, node }, claim, reply);
      answeredAt = clock.elapsed();
      readAt = -Infinity;
      runner.onEnd(end);
      // Claiming the job again at once would not help, whatever its fault.
      const isOpen = end.task?.state === "running";
      if (end.kind === "error" || isOpen) await rest(runner, DEFAULT_IDLE_MS);
      continue;
    }
    const waitMs = waitAfter(runner, reply, reply.kind === "accepted" ? 0 : ++failures);
    if (reply.kind === "unavailable") {
      if (clock.elapsed() + waitMs > answeredAt + patience) {
        return { kind: "error", message: `gave up on the server: ${reply.message}` };
      }
      log(`claim failed (${reply.message}); next try in ${(waitMs / 1000).toFixed(1)} s`);
      await rest(runner, waitMs);
    } else {
      failures = 0;
      answeredAt = clock.elapsed();
      if (!isIdle) log("no job for this runner yet");
      isIdle = true;
      await waiting.rest(waitMs);
    }
  }
  return { kind: "stopped", message: "stopped" };
}

/** Whoever leaves needs no facts. */
function ifLeaving(drain: AbortSignal): (error: unknown) => undefined {
  return (error) => {
    if (!drain.aborted) throw error;
  };
}

async function runJob(
  { clientOfJob, node, log, clock, runStep, signal, drain, ...more }: Runner,
  { jobId, token, task }: Claim,
  reply: ClaimReply,
): Promise<AgentEnd> {
  log(`claimed job ${jobId} as node ${task.rank}, task ${task.id}`);
  if (reply.kind === "accepted" && reply.claimRepeated) {
    log(
      "this runner already had the task and continues it. If you stopped no agent before, another agent is using the same key: both are then one node, and both run each step",
    );
  }
  // The runner's own UUID, which only the server has told.
  const uuid = task.wire.machine_uuid;
  const machineUuid = typeof uuid === "string" ? uuid : "";
  const end = await runAgent({
    client: clientOfJob(token),
    node: { ...node, machineUuid },
    runStep,
    clock,
    log,
    signal,
    drain,
    task,
    giveUpAfterMs: more.giveUpAfterMs,
    conceal: more.conceal,
    transport: more.transport,
  });
  log(end.message);
  return end;
}

function waitAfter({ clock }: Runner, reply: ClaimReply, failures: number): number {
  if (reply.kind === "unavailable") return backoffMs(failures, clock.random(), reply.retryAfterMs);
  const told = reply.kind === "accepted" ? reply.retryAfterMs : null;
  return Math.max(MIN_IDLE_MS, told ?? DEFAULT_IDLE_MS);
}

/** Null for no job, and for a reply that holds none. */
function parseClaim(body: unknown): Claim | null {
  if (!isRecord(body)) return null;
  const task = parseTask(body.task);
  if (task === null || typeof body.token !== "string") return null;
  return { jobId: String(body.job_id), token: body.token, task };
}
