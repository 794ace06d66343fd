/** One job in the running Worker: its calls over HTTP, and the stored state of its object and of D1. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { decodeJwt, decodeProtectedHeader } from "jose";
import type { Job } from "../../../src/coordinator/life/model.ts";
import { CoordinatorStorage } from "../../../src/coordinator/storage/storage.ts";
import { taskTokenOf } from "../../../src/identity/job-token.ts";
import { MINUTE_MS } from "../../../src/lib/clock.ts";
import { rankOf, taskIdOf } from "../../../src/lib/ids.ts";
import { call, type Reply, tokens } from "../harness/client.ts";
import {
  createJob,
  createPerson,
  type Person,
  signedIn,
  type TestJob,
} from "../harness/factories.ts";
import { coordinatorOf } from "../harness/instruments.ts";
import { machineBody, type Plan, resultBody } from "./machines.ts";
import { type Answer, type Call, GIVE_UP_MESSAGE } from "./reference.ts";

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape, compared with the reference
type Json = any;

/** The object's state on disk. */
export interface Stored {
  /** Null while D1 still owns the job. */
  job: Job | null;
  flushedVersion: number;
  /** Followups that have still to run: a killed object, or D1, holds them up. */
  hasFollowups: boolean;
  /** Due time of the alarm, ms since the epoch. */
  alarm: number | null;
  /** `rank:position` of every result, sorted. */
  slots: string[];
}

/** The job's rows in D1. */
export interface Projection {
  job: { version: number; state: string; ended_at: number | null; coordinated: number } & Row;
  tasks: Row[];
}

type Row = Record<string, unknown>;

export class Scene {
  readonly plan: Plan;
  readonly job: TestJob;
  /** The token is renewed after half of its lifetime of an hour. */
  #ownerToken: { token: string; until: number };

  private constructor(plan: Plan, job: TestJob, now: number) {
    this.plan = plan;
    this.job = job;
    this.#ownerToken = { token: job.owner.token, until: now + 30 * MINUTE_MS };
  }

  /** Creates a job that no node has joined, owned by a new person unless one is given. */
  static async create(plan: Plan, now: number, owner?: Person): Promise<Scene> {
    const body = { node_count: plan.nodeCount, benchmarks: plan.benchmarks };
    return new Scene(plan, await createJob(body, owner ?? (await createPerson())), now);
  }

  get id(): number {
    return Number(this.job.id);
  }

  get stub() {
    return coordinatorOf(this.job);
  }

  /** Makes a call. Returns the full reply, and the part that clients act on. */
  async call(request: Call, now: number): Promise<{ reply: Reply<Json>; answer: Answer }> {
    const reply = await this.#send(request, now);
    const code = reply.status < 300 ? null : String(reply.body?.error?.code);
    return { reply, answer: { status: reply.status, code, facts: this.#factsOf(request, reply) } };
  }

  async #send(request: Call, now: number): Promise<Reply<Json>> {
    const task = (rank: number) => String(taskIdOf(this.id, rank));
    const { token } = this.job;
    const tasks = "/jobs/current/tasks";
    switch (request.kind) {
      case "join":
        return call("POST", tasks, { token, body: machineBody(request.machine) });
      case "poll": {
        const query = request.rank === null ? "" : `?task_id=${task(request.rank)}`;
        return call("GET", `/jobs/current${query}`, { token, headers: await this.#own(request) });
      }
      case "heartbeat":
      case "give_up": {
        const leaving = { state: "failed", failed_message: GIVE_UP_MESSAGE };
        const body = request.kind === "give_up" ? leaving : { progress: 0.5 };
        const headers = await this.#own(request);
        return call("PATCH", `${tasks}/${task(request.rank)}`, { token, body, headers });
      }
      case "result": {
        const { rank, position, choice } = request;
        const body = resultBody(this.plan, rank, position, choice);
        const headers = await this.#own(request);
        return call("PUT", `${tasks}/${task(rank)}/results/${position}`, { token, body, headers });
      }
      case "abort":
        return call("POST", `/jobs/${this.job.id}/abort`, { token: await this.#owner(now) });
      case "delete": {
        const body = { id: this.job.id };
        return call("DELETE", "/jobs/delete", { token: await this.#owner(now), body });
      }
      case "detail":
        return call("GET", `/jobs/${this.job.id}`, { token: await this.#owner(now) });
      case "prepare_deletion":
      case "vanish":
        throw new TypeError("Steps of a deletion, which no client can call alone");
    }
  }

  /** The header of the node itself, derived, since the reply that brought it may have been lost. */
  async #own({ rank, stranger }: { rank: number | null; stranger?: boolean }) {
    if (rank === null || stranger) return {};
    const { iat = 0, exp = 0 } = decodeJwt(this.job.token);
    const { kid = "" } = decodeProtectedHeader(this.job.token);
    const facts = { keyId: kid, from: iat * 1_000, until: exp * 1_000 };
    const task = { taskId: taskIdOf(this.id, rank), epoch: 0 };
    return { "assay-task-token": await taskTokenOf(await tokens(), facts, task) };
  }

  async #owner(now: number): Promise<string> {
    if (now >= this.#ownerToken.until) {
      const token = await signedIn(this.job.owner);
      this.#ownerToken = { token, until: now + 30 * MINUTE_MS };
    }
    return this.#ownerToken.token;
  }

  #factsOf(request: Call, { status, body }: Reply<Json>): Answer["facts"] {
    if (status >= 300) return {};
    switch (request.kind) {
      case "join":
        return { rank: rankOf(this.id, Number(body.id)) };
      case "poll": {
        const { state, current_nodes, directive, version } = body;
        return { state, current_nodes, directive, version, position: body.step?.position ?? null };
      }
      case "abort":
        return { ended_at: body.ended_at };
      case "detail":
        return ownerViewIn(body);
      default:
        return {};
    }
  }

  async stored(): Promise<Stored> {
    return runInDurableObject(this.stub, async (_object, { storage }) => {
      const stored = new CoordinatorStorage(storage);
      const live = stored.load();
      const slots = storage.sql
        .exec<{ slot: string }>(
          "SELECT rank || ':' || position AS slot FROM result ORDER BY rank, position",
        )
        .toArray();
      return {
        job: live?.job ?? null,
        flushedVersion: live?.flushedVersion ?? 0,
        hasFollowups: stored.pendingStages().length > 0,
        alarm: await storage.getAlarm(),
        slots: slots.map(({ slot }) => slot),
      };
    });
  }

  /** Reads through a session, because `DB.batch` may be broken. */
  async projection(): Promise<Projection> {
    const session = env.DB.withSession("first-primary");
    const range = "BETWEEN ?1 + 1 AND ?1 + 511";
    const [jobs, tasks] = await session.batch<Row>(
      ["SELECT * FROM jobs WHERE id = ?1", `SELECT * FROM tasks WHERE id ${range} ORDER BY id`].map(
        (query) => session.prepare(query).bind(this.id),
      ),
    );
    // The cast names the rows of these tables, as the schema declares them.
    return {
      job: jobs?.results[0],
      tasks: tasks?.results,
    } as unknown as Projection;
  }
}

/** The part of a job's detail that the reference predicts. */
function ownerViewIn(detail: Json): Answer["facts"] {
  const { state, current_nodes, started_at, ended_at, events } = detail;
  const tasks = detail.tasks.map((task: Json) => ({
    rank: task.rank,
    machine_uuid: task.machine_uuid,
    machine_ip: task.machine_ip,
    state: task.state,
    failed_message: task.failed_message,
    started_at: task.started_at,
    ended_at: task.ended_at,
    benchmark_states: Object.values<Json>(task.benchmark_results).map((result) => result.state),
  }));
  return { state, current_nodes, started_at, ended_at, events, tasks };
}
