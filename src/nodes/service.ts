import { createHash } from "node:crypto";
import type { CallCoordinator, CallerPlace } from "../coordinator/client.ts";
import { joinedTaskOf } from "../coordinator/task-token.ts";
import { toMachine } from "../coordinator/wire/machine.ts";
import type { NodeReply, ResultReply, TaskReply } from "../coordinator/wire/protocol.ts";
import type { Database, Meter } from "../db/client.ts";
import { entityTagOf, matchesEntityTag } from "../http/entity-tag.ts";
import type { TaskTokenFacts } from "../identity/job-token.ts";
import type { Tokens } from "../identity/tokens.ts";
import { toTimestamp } from "../lib/clock.ts";
import { NO_OUTCOME, readOutcome, withOutcome } from "./outcome.ts";
import { refuse } from "./refusals.ts";
import type { HeartbeatInput, JoinInput, StoredResultWire } from "./schemas.ts";

/** A call by one machine of one job. */
export interface NodeCall {
  jobId: number;
  meter: Meter;
  place: CallerPlace | undefined;
  /** Epoch of the caller's task token, see `speaksFor`. */
  epoch: number | null;
}

interface NodesDeps {
  tokens: Tokens;
  callCoordinator: CallCoordinator;
}

/**
 * Calls of machines with a job token. Each is one hop to the job's object and no D1 round trip, except the polls of a
 * settled job's nodes, which read their verdict.
 */
export class NodesService {
  readonly #deps: NodesDeps;

  constructor(deps: NodesDeps) {
    this.#deps = deps;
  }

  /**
   * @param databases opened for a node of a settled job alone, and read once
   * @returns JSON of a poll's reply as `view`; null when the caller has it
   */
  async poll(
    call: NodeCall,
    databases: { readonly session: Database },
    taskId: number | null,
    validator: string | null,
  ): Promise<NodeReply> {
    const reply = await this.#deps.callCoordinator(call, (coordinator) =>
      coordinator.poll(call.jobId, taskId, validator, call.epoch),
    );
    if (!reply.ok) return refuse(reply, { taskId });
    if (reply.view === null) return reply;
    const isNode = reply.isSettled === true && taskId !== null;
    const outcome = isNode ? await readOutcome(databases.session, taskId) : NO_OUTCOME;
    const view = withOutcome(reply.view, outcome);
    if (outcome === NO_OUTCOME) return { ...reply, view };
    const etag = `W/${entityTagOf(reply.etag + JSON.stringify(outcome))}`;
    return { ...reply, etag, view: matchesEntityTag(validator, etag) ? null : view };
  }

  async join(call: NodeCall, facts: TaskTokenFacts, input: JoinInput) {
    const { jobId } = call;
    const machine = toMachine(input.machine_uuid, input);
    const secret = input.join_secret ?? null;
    const secretHash =
      secret === null ? null : createHash("sha256").update(secret).digest("base64url");
    const reply = await this.#deps.callCoordinator(call, (coordinator) =>
      coordinator.join(jobId, machine, { secretHash }),
    );
    if (!reply.ok) return refuse(reply, {});
    return { ...reply, task: joinedTaskOf(this.#deps.tokens, facts, reply) };
  }

  async heartbeat(call: NodeCall, taskId: number, input: HeartbeatInput): Promise<TaskReply> {
    const giveUp = input.failed_message ?? "the node gave up";
    const update = {
      ...(input.progress === undefined ? {} : { progress: input.progress }),
      ...(input.message === undefined ? {} : { message: input.message }),
      ...(input.clock_skew_ms === undefined ? {} : { clockSkewMs: input.clock_skew_ms }),
      ...(input.state === undefined ? {} : { giveUp }),
    };
    const reply = await this.#deps.callCoordinator(call, (coordinator) =>
      coordinator.heartbeat(call.jobId, taskId, update, call.epoch),
    );
    return reply.ok ? reply : refuse(reply, { taskId });
  }

  /** @param text the request's body, which the object parses and validates */
  async putResult(call: NodeCall, taskId: number, position: number, text: string) {
    const reply = await this.#deps.callCoordinator(call, (coordinator) =>
      coordinator.putResult(call.jobId, taskId, position, text, call.epoch),
    );
    if (!reply.ok) return refuse(reply, { taskId, position });
    return { etag: reply.etag, body: toStoredResult(taskId, position, reply) };
  }
}

function toStoredResult(taskId: number, position: number, reply: ResultReply): StoredResultWire {
  const { benchmarkId, end } = reply;
  return {
    task_id: String(taskId),
    position,
    benchmark_id: benchmarkId,
    state: end.state,
    started_at: toTimestamp(end.startedAt),
    ended_at: toTimestamp(end.endedAt),
    clock_skew_ms: end.clockSkewMs ?? null,
    error_message: end.errorMessage,
    // The step has ended: its node asks for the next one.
    poll_after_seconds: 0,
  };
}
