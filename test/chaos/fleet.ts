/**
 * Load: owners create, abort and delete jobs, and agents work on them. The ledger records every
 * acknowledgement; a reply that contradicts an earlier one is a fault at once.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import {
  CLUSTER_NETWORK,
  clusterFigures,
  QUICK_MARK,
  quickMarkFigures,
  stepResult,
} from "../world/results.ts";
import { type Follower, follow, type Told } from "./channel-client.ts";
import { call, type Reply, type Target } from "./client.ts";

const API = "/api/silicon-mark/v1";
/** A text so long that a job's results go to R2 in many parts. */
const LARGE = "x".repeat(400_000);

export interface AcknowledgedResult {
  position: number;
  state: "completed" | "failed";
  /** Null for a failed step. */
  results: object | null;
  body: object;
  reply: string;
}

export interface AcknowledgedTask {
  id: number;
  machineUuid: string;
  joinSecret: string;
  /** The header that its calls need. */
  own: Record<string, string>;
  results: AcknowledgedResult[];
}

export interface AcknowledgedJob {
  id: number;
  token: string;
  nodeCount: number;
  tasks: AcknowledgedTask[];
  /** End time of a job whose abort was acknowledged; otherwise null. */
  abortedAt: string | null;
  deleted: boolean;
}

export interface Ledger {
  jobs: AcknowledgedJob[];
  faults: string[];
  /** Number of answered calls. */
  calls: number;
}

export type ChaosTransport = "poll" | "channel";

interface Options {
  target: Target;
  random: () => number;
  /** Returns a user token that is valid now. */
  ownerToken: () => Promise<string>;
  /** Number of concurrent jobs. */
  width: number;
  transport: ChaosTransport;
}

/** Starts jobs in `width` lanes until `finish` is called, which waits for the running ones. */
export function startFleet({ target, random, ownerToken, width, transport }: Options) {
  const ledger: Ledger = { jobs: [], faults: [], calls: 0 };
  let finishing = false;
  const chance = (share: number) => random() < share;

  const ask = async (
    method: string,
    path: string,
    token: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Reply> => {
    const reply = await call(target, method, `${API}${path}`, token, body, headers);
    ledger.calls++;
    return reply;
  };
  const expect = (reply: Reply, statuses: readonly number[], what: string): void => {
    if (!statuses.includes(reply.status)) {
      ledger.faults.push(`${what} answered ${reply.status}: ${reply.text.slice(0, 300)}`);
    }
  };

  async function runJob(): Promise<void> {
    const nodeCount = 1 + Math.floor(random() * 4);
    const benchmarks = nodeCount > 1 && chance(0.5) ? [CLUSTER_NETWORK] : [QUICK_MARK];
    const created = await ask(
      "POST",
      "/jobs",
      await ownerToken(),
      { benchmarks, node_count: nodeCount },
      { "idempotency-key": randomUUID() },
    );
    expect(created, [201], "create");
    const job: AcknowledgedJob = {
      id: Number(created.body.id),
      token: created.body.token,
      nodeCount,
      tasks: [],
      abortedAt: null,
      deleted: false,
    };
    ledger.jobs.push(job);
    const agents = Array.from({ length: nodeCount }, () => runAgent(job));
    if (chance(0.15)) {
      await pause(random() * 400);
      await abort(job);
    }
    await Promise.all(agents);
    if (chance(0.1)) await remove(job);
  }

  async function abort(job: AcknowledgedJob): Promise<void> {
    const reply = await ask("POST", `/jobs/${job.id}/abort`, await ownerToken());
    expect(reply, [200, 400], "abort");
    if (reply.status === 200) job.abortedAt = reply.body.ended_at;
  }

  async function remove(job: AcknowledgedJob): Promise<void> {
    const reply = await ask("DELETE", "/jobs/delete", await ownerToken(), { id: String(job.id) });
    // 404: an earlier, unanswered try took effect.
    expect(reply, [200, 400, 404], "delete");
    job.deleted = reply.status !== 400;
  }

  async function runAgent(job: AcknowledgedJob): Promise<void> {
    await pause(random() * 200);
    const task = await join(job, {
      machineUuid: randomUUID(),
      joinSecret: `${randomUUID()}-chaos`,
    });
    if (task === null) return;
    const path = `/jobs/current?task_id=${task.id}`;
    const poll = async (): Promise<Told> => {
      const view = await ask("GET", path, job.token, undefined, task.own);
      expect(view, [200], "poll");
      return view.body;
    };
    if (transport === "poll") return work(job, task, poll, null);
    const own = { id: String(task.id), token: task.own["assay-task-token"] ?? "" };
    const follower = follow(target, job.token, own, poll);
    try {
      await work(job, task, follower.next, follower);
    } finally {
      follower.close();
    }
  }

  async function work(
    job: AcknowledgedJob,
    task: AcknowledgedTask,
    next: () => Promise<Told>,
    follower: Follower | null,
  ): Promise<void> {
    // A few machines die silently, and the other nodes of the job go on.
    const dies = job.nodeCount > 1 && chance(0.05);
    let told: Told | null = null;
    for (;;) {
      // By a channel, what was said is said once.
      if (follower === null || told?.directive !== "run") told = await next();
      const { directive, step } = told;
      if (directive === "stop") return;
      follower?.report(random());
      await pause(random() * (directive === "run" ? 150 : 60));
      if (dies && chance(0.3)) return;
      if (directive !== "run" || step === null) continue;
      const isAgain = chance(0.05);
      if (!isAgain) told = null;
      if (chance(0.02)) await giveUp(job, task);
      else if (isAgain) await join(job, task, task);
      else await report(job, task, step);
    }
  }

  async function join(
    job: AcknowledgedJob,
    { machineUuid, joinSecret }: Pick<AcknowledgedTask, "machineUuid" | "joinSecret">,
    earlier: AcknowledgedTask | null = null,
  ): Promise<AcknowledgedTask | null> {
    const hardware = { gpu_count: 1, inventory: { serial: machineUuid } };
    const machine = { machine_uuid: machineUuid, join_secret: joinSecret };
    const body = { ...machine, ...hardware, cluster_address: "10.0.0.1:7117" };
    const reply = await ask("POST", "/jobs/current/tasks", job.token, body);
    expect(reply, [200, 201, 409], "join");
    if (reply.status === 409) {
      // Every agent has a place, so the only valid conflict is an ended job.
      if (reply.body.error.code !== "JOB_ENDED") ledger.faults.push(`join: ${reply.text}`);
      return null;
    }
    const id = Number(reply.body.id);
    if (earlier !== null) {
      if (earlier.id !== id)
        ledger.faults.push(`machine ${machineUuid}: ${earlier.id}, then ${id}`);
      if (earlier.own["assay-task-token"] !== reply.body.task_token)
        ledger.faults.push(`machine ${machineUuid} got another token by the same secret`);
      return earlier;
    }
    const own = { "assay-task-token": String(reply.body.task_token) };
    const task = { id, machineUuid, joinSecret, own, results: [] };
    job.tasks.push(task);
    return task;
  }

  async function giveUp(job: AcknowledgedJob, task: AcknowledgedTask): Promise<void> {
    const body = { state: "failed", failed_message: "out of memory" };
    const reply = await ask("PATCH", `/jobs/current/tasks/${task.id}`, job.token, body, task.own);
    expect(reply, [200, 409], "give up");
  }

  async function report(
    job: AcknowledgedJob,
    task: AcknowledgedTask,
    step: { position: number; benchmark_id: string },
  ): Promise<void> {
    const { position } = step;
    const state = chance(0.05) ? "failed" : "completed";
    const results = state === "failed" ? null : figures(job, task, step.benchmark_id);
    const body = stepResult(state, results);
    const path = `/jobs/current/tasks/${task.id}/results/${position}`;
    const reply = await ask("PUT", path, job.token, body, task.own);
    // 409: the job was aborted, or the node was lost, before the result arrived.
    expect(reply, [200, 409], "result");
    if (reply.status !== 200) return;
    task.results.push({ position, state, results, body, reply: reply.text });
    if (!chance(0.2)) return;
    const again = await ask("PUT", path, job.token, body, task.own);
    if (again.text !== reply.text) ledger.faults.push(`repeat: ${again.text}, not ${reply.text}`);
    const changed = { ...body, ended_at: "2026-01-01T00:06:00Z" };
    const other = await ask("PUT", path, job.token, changed, task.own);
    expect(other, [422], "another result in the same slot");
  }

  function figures(job: AcknowledgedJob, task: AcknowledgedTask, benchmarkId: string): object {
    const figure = Math.ceil(random() * 1_000_000) / 1_000;
    if (benchmarkId === CLUSTER_NETWORK) {
      return clusterFigures(task.id - job.id - 1, job.nodeCount, figure);
    }
    return { ...quickMarkFigures(figure), ...(chance(0.05) ? { log: LARGE } : {}) };
  }

  const lanes = Array.from({ length: width }, async () => {
    while (!finishing) await runJob();
  });
  // A failed lane stops the run, and `finish` reports the error.
  const all = Promise.all(lanes).catch((error: Error) => {
    target.stopped ??= error;
    throw error;
  });
  all.catch(() => {});

  return {
    ledger,
    async finish(): Promise<void> {
      finishing = true;
      await all;
    },
  };
}
