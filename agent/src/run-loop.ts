import { childController } from "./abort.ts";
import type { ApiClient } from "./api-client.ts";
import type { ChannelBounds } from "./channel/bounds.ts";
import type { TransportChoice } from "./channel/channel.ts";
import { openSession, type PushedSession } from "./channel/session.ts";
import type { Clock } from "./clock.ts";
import { conclude } from "./conclusion.ts";
import { describeFigures } from "./figures-text.ts";
import { keepInContact, type Progress } from "./heartbeat.ts";
import type { JobState } from "./job-state.ts";
import type { Log } from "./log.ts";
import type { JobView, Step, StepOutcome, Task } from "./protocol.ts";
import type { AgentEnd, Answer, NodeIdentity, Session } from "./session.ts";
import type { RunStep } from "./step-context.ts";
import { type StepTimes, serialiseResult } from "./step-result.ts";

export interface Agent {
  client: ApiClient;
  node: NodeIdentity;
  runStep: RunStep;
  clock: Clock;
  log: Log;
  /** Aborting it makes `runAgent` reject at once. The task stays as it is: a restarted agent goes on. */
  signal: AbortSignal;
  /** Aborting it makes the agent finish its step, for at most `drainMs`, and give up what is left. */
  drain?: { signal: AbortSignal; drainMs: number } | undefined;
  /** Waits for a moment for the server's verdict on a job that has ended. */
  awaitsVerdict?: boolean | undefined;
  /** Of a node that has joined by a claim. */
  task?: Task | undefined;
  /** The time to wait for an answer from the server; by default the session decides. */
  giveUpAfterMs?: number | null | undefined;
  /** Of a node that joins with a job's token. */
  state?: JobState | undefined;
  /** See `createSession`. */
  conceal?: ((secret: string) => void) | undefined;
  /** How it hears of changes; `auto` by default. */
  transport?: TransportChoice | undefined;
  /** Of the channel, for tests. */
  channelBounds?: ChannelBounds | undefined;
}

/** Why a node gives up that is told to leave, for the job's owner to read. */
const LEAVES = "the agent on this machine was stopped";

/** A result this node owes or has given. */
interface OwedResult {
  body: string;
  /** Of a failed step. */
  errorMessage: string | null;
  times: StepTimes;
}

/** Follows the directives of one job until it is over for this node. */
export async function runAgent(agent: Agent): Promise<AgentEnd> {
  const session = openSession(agent);
  try {
    const { view = null, ...end } = await follow(agent, session);
    const waits = agent.awaitsVerdict === true && end.kind === "stopped" && end.task !== null;
    const conclusion = waits ? await conclude(agent, session, view) : undefined;
    return { ...end, conclusion, transport: session.transport() };
  } finally {
    session.close();
  }
}

async function follow(agent: Agent, session: PushedSession): Promise<AgentEnd> {
  const { log } = agent;
  /** By position; a step that has a result is never run again. */
  const results = new Map<number, OwedResult>();

  while (true) {
    const polled = await session.poll();
    if (!polled.ok) return polled.end;
    const { view, pollMs } = polled.value;

    if (view.directive === "stop") {
      return view.task === null
        ? session.end("the job has ended")
        : { kind: "stopped", message: "the job has ended for this node", task: view.task, view };
    }
    if (agent.drain?.signal.aborted === true && session.hasJoined()) {
      return session.giveUp(LEAVES);
    }
    // A restarted agent knows its task and joins again: its address or its drivers may be others now.
    const isRestarted = session.taskId() !== null && !session.hasJoined();
    if (view.directive === "join" || isRestarted) {
      // A server that asks twice may have lost the task; going on at its pace avoids a tight loop.
      if (session.hasJoined()) await rest(agent, pollMs);
      const joined = await session.join(agent.node);
      if (!joined.ok) return joined.end;
    } else if (view.directive === "run" && view.step !== null) {
      const { step } = view;
      let owed = results.get(step.position);
      if (owed === undefined) {
        const ran = await runOnce(agent, session, view, step);
        if (!ran.ok) return ran.end;
        owed = ran.value;
        results.set(step.position, owed);
      } else {
        // Seen again: the result was not ready to be taken, or the server did not keep it.
        await rest(agent, pollMs);
      }
      const end = await deliver(session, step.position, owed, log);
      if (end !== null) return end;
    } else {
      await rest(agent, pollMs, session);
    }
  }
}

/** Sleeps until the next poll is due, the server has news by itself, or this node is told to leave. */
export async function rest(
  { clock, signal, drain }: Pick<Agent, "clock" | "signal" | "drain">,
  ms: number,
  news?: PushedSession,
): Promise<void> {
  const { controller, release } = childController(signal);
  const wake = () => controller.abort();
  if (drain?.signal.aborted === true) wake();
  drain?.signal.addEventListener("abort", wake, { once: true });
  const unheed = news?.onNews(wake);
  try {
    if (news?.isPushed()) await news.untilExpiry(controller.signal);
    else await clock.sleep(ms, controller.signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!controller.signal.aborted) throw error;
  } finally {
    unheed?.();
    drain?.signal.removeEventListener("abort", wake);
    release();
  }
}

/** Runs a step while keeping the server informed. */
async function runOnce(
  agent: Agent,
  session: PushedSession,
  view: JobView,
  step: Step,
): Promise<Answer<OwedResult>> {
  const { clock, log } = agent;
  const taskId = session.taskId();
  if (taskId === null) {
    const message = "the server gave a step to a node that has not joined";
    return { ok: false, end: { kind: "error", message, task: null } };
  }
  log(`step ${step.position} (${step.benchmarkId}) starts`);
  const begin = clock.elapsed();
  // Of a clock in 1969 the server would take no result.
  const startedAt = Math.max(0, clock.now());
  let latest: Progress = { progress: 0, message: `${step.benchmarkId} starts` };
  // Two signals: the job's end must stop the step, the step's end only its heartbeat.
  const running = childController(agent.signal);
  const beating = childController(agent.signal);
  const end = () => running.controller.abort(new Error("the job has ended"));
  const contact = keepInContact({
    latest: () => latest,
    send: ({ progress, message }) =>
      session.heartbeat(progress, message, beating.controller.signal),
    clock,
    log,
    signal: beating.controller.signal,
    pace: session.pace,
  }).then((how) => {
    if (how === "ended") end();
    return how;
  });
  const unheed = session.onStop(end);

  const endGrace = graceOf(agent, running.controller);
  let outcome: StepOutcome | null = null;
  try {
    outcome = await agent.runStep(step, {
      jobId: view.id,
      taskId,
      nodes: view.nodes,
      report: (progress, message) => {
        latest = { progress, message };
      },
      signal: running.controller.signal,
    });
  } catch (error) {
    if (!running.controller.signal.aborted) throw error;
  } finally {
    endGrace();
    unheed();
    beating.controller.abort();
    await contact;
    running.release();
    beating.release();
  }
  agent.signal.throwIfAborted();
  if (outcome === null && running.controller.signal.reason === TOO_LONG) {
    log(`step ${step.position} (${step.benchmarkId}) did not end in time; giving it up`);
    return { ok: false, end: await session.giveUp(LEAVES) };
  }
  if (outcome === null) {
    return { ok: false, end: await session.end("the job ended while a step was running") };
  }
  // The machine's clock may have been set meanwhile: no step takes an hour less than nothing.
  const endedAt = startedAt + Math.round(clock.elapsed() - begin);
  const times = { startedAt, endedAt, clockSkewMs: session.skew.of(startedAt, begin) };
  const why = outcome.state === "failed" ? `: ${outcome.errorMessage}` : "";
  const figures = describeFigures(step.benchmarkId, outcome.results);
  const which = `step ${step.position} (${step.benchmarkId})`;
  log(`${which} ${outcome.state}${why}${figures === null ? "" : `: ${figures}`}`);
  return {
    ok: true,
    value: {
      body: serialiseResult(outcome, times),
      errorMessage: outcome.state === "failed" ? outcome.errorMessage : null,
      times,
    },
  };
}

const TOO_LONG = new Error("the step took too long to finish");

/** Aborts a step that has not ended in time once the agent is told to leave. Call what it answers at the end. */
function graceOf({ clock, drain }: Agent, running: AbortController): () => void {
  if (drain === undefined) return () => {};
  const over = new AbortController();
  const begin = () => {
    clock.sleep(drain.drainMs, over.signal).then(
      () => running.abort(TOO_LONG),
      () => {}, // The step has ended before.
    );
  };
  if (drain.signal.aborted) begin();
  drain.signal.addEventListener("abort", begin, { once: true });
  return () => {
    drain.signal.removeEventListener("abort", begin);
    over.abort();
  };
}

/**
 * Sends a result. One the server will never take is replaced by a failed one, so that the slot is
 * closed and the job can settle.
 *
 * @returns an end, or null to go on polling
 */
async function deliver(
  session: Session,
  position: number,
  owed: OwedResult,
  log: Log,
): Promise<AgentEnd | null> {
  const first = await session.putResult(position, owed.body);
  if (!first.ok) return first.end;
  if (first.value.kind !== "refused") return null;

  log(`sending a failed result for step ${position} instead`);
  const outcome: StepOutcome = {
    state: "failed",
    // Figures of a failed step are a gift; why it failed is what must arrive.
    errorMessage:
      owed.errorMessage ?? `The server refused this step's result: ${first.value.message}`,
  };
  owed.body = serialiseResult(outcome, owed.times);
  const second = await session.putResult(position, owed.body);
  if (!second.ok) return second.end;
  if (second.value.kind !== "refused") return null;
  const end = await session.end("");
  return { ...end, kind: "error", message: `the server refused every result of step ${position}` };
}
