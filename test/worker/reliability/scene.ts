/** One job in the running Worker: calls over HTTP, and what its object and D1 have stored. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Job } from "../../../src/coordinator/model.ts";
import { CoordinatorStorage } from "../../../src/coordinator/storage.ts";
import { MINUTE_MS } from "../../../src/lib/clock.ts";
import { rankOf, taskIdOf } from "../../../src/lib/ids.ts";
import {
  call,
  coordinatorOf,
  createJob,
  createPerson,
  type Person,
  type Reply,
  signedIn,
  type TestJob,
} from "../harness.ts";
import { machineBody, type Plan, resultBody } from "./machines.ts";
import { type Call, GIVE_UP_MESSAGE, type Told } from "./reference.ts";

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape, compared with what the reference says
type Json = any;

/** What the object has on disk. */
export interface Stored {
  /** Null while D1 still owns the job. */
  job: Job | null;
  flushedVersion: number;
  /** When its alarm is set for, ms. */
  alarm: number | null;
  /** `rank:position` of every result, in order. */
  slots: string[];
}

/** What D1 has. */
export interface Projection {
  job: { version: number; state: string; ended_at: number | null; coordinated: number } & Row;
  tasks: Row[];
  results: { task_id: number; position: number; results: string }[];
}

type Row = Record<string, unknown>;

export class Scene {
  readonly plan: Plan;
  readonly job: TestJob;
  /** User tokens live for an hour. */
  #ownerToken: { token: string; until: number };

  private constructor(plan: Plan, job: TestJob, now: number) {
    this.plan = plan;
    this.job = job;
    this.#ownerToken = { token: job.owner.token, until: now + 30 * MINUTE_MS };
  }

  /** A job that nobody has joined; of a person of its own unless one is given. */
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

  /** Makes a call; the reply in full, and what a client acts on. */
  async call(asked: Call, now: number): Promise<{ reply: Reply<Json>; told: Told }> {
    const reply = await this.#send(asked, now);
    const code = reply.status < 300 ? null : String(reply.body?.error?.code);
    return { reply, told: { status: reply.status, code, facts: this.#factsOf(asked, reply) } };
  }

  async #send(asked: Call, now: number): Promise<Reply<Json>> {
    const task = (rank: number) => String(taskIdOf(this.id, rank));
    const { token } = this.job;
    const tasks = "/jobs/current/tasks";
    switch (asked.kind) {
      case "join":
        return call("POST", tasks, { token, body: machineBody(asked.machine) });
      case "poll": {
        const query = asked.rank === null ? "" : `?task_id=${task(asked.rank)}`;
        return call("GET", `/jobs/current${query}`, { token });
      }
      case "heartbeat":
        return call("PATCH", `${tasks}/${task(asked.rank)}`, { token, body: { progress: 0.5 } });
      case "give_up": {
        const body = { state: "failed", failed_message: GIVE_UP_MESSAGE };
        return call("PATCH", `${tasks}/${task(asked.rank)}`, { token, body });
      }
      case "result": {
        const { rank, position, choice } = asked;
        const body = resultBody(this.plan, rank, position, choice);
        return call("PUT", `${tasks}/${task(rank)}/results/${position}`, { token, body });
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
        throw new TypeError("Steps of a deletion, which nobody can ask for alone");
    }
  }

  async #owner(now: number): Promise<string> {
    if (now >= this.#ownerToken.until) {
      const token = await signedIn(this.job.owner);
      this.#ownerToken = { token, until: now + 30 * MINUTE_MS };
    }
    return this.#ownerToken.token;
  }

  #factsOf(asked: Call, { status, body }: Reply<Json>): Told["facts"] {
    if (status >= 300) return {};
    switch (asked.kind) {
      case "join":
        return { rank: rankOf(this.id, Number(body.id)) };
      case "poll": {
        const { state, current_nodes, directive, version } = body;
        return { state, current_nodes, directive, version, position: body.step?.position ?? null };
      }
      case "abort":
        return { ended_at: body.ended_at };
      case "detail":
        return seenIn(body);
      default:
        return {};
    }
  }

  async stored(): Promise<Stored> {
    return runInDurableObject(this.stub, async (_object, { storage }) => {
      const live = new CoordinatorStorage(storage).load();
      const slots = storage.sql
        .exec<{ slot: string }>(
          "SELECT rank || ':' || position AS slot FROM result ORDER BY rank, position",
        )
        .toArray();
      return {
        job: live?.job ?? null,
        flushedVersion: live?.flushedVersion ?? 0,
        alarm: await storage.getAlarm(),
        slots: slots.map(({ slot }) => slot),
      };
    });
  }

  /** By a session of its own: `DB.batch` may be broken. */
  async projection(): Promise<Projection> {
    const session = env.DB.withSession("first-primary");
    const range = "BETWEEN ?1 + 1 AND ?1 + 511";
    const [jobs, tasks, results] = await session.batch<Row>(
      [
        "SELECT * FROM jobs WHERE id = ?1",
        `SELECT * FROM tasks WHERE id ${range} ORDER BY id`,
        `SELECT task_id, position, results FROM task_results WHERE task_id ${range} ORDER BY task_id, position`,
      ].map((query) => session.prepare(query).bind(this.id)),
    );
    // Rows of these tables, as the schema declares them.
    return {
      job: jobs?.results[0],
      tasks: tasks?.results,
      results: results?.results,
    } as unknown as Projection;
  }
}

/** What the reference says of a detail, out of one. */
function seenIn(detail: Json): Told["facts"] {
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
