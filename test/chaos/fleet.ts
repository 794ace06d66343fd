/**
 * Load: owners who create, abort and delete jobs, and agents that work on them. Everything that was
 * acknowledged is written down; what contradicts an earlier acknowledgement is a fault at once.
 */
import { randomUUID } from "node:crypto";
import { call, type Reply, type Target } from "./client.ts";
import { pause } from "./random.ts";

const API = "/api/silicon-mark/v1";
const CLUSTER = "cluster_network";
/** More than D1 takes in one batch with the others of its job. */
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
  results: AcknowledgedResult[];
}

export interface AcknowledgedJob {
  id: number;
  token: string;
  nodeCount: number;
  tasks: AcknowledgedTask[];
  /** When it ended, of those whose abortion was acknowledged. */
  abortedAt: string | null;
  deleted: boolean;
}

export interface Ledger {
  jobs: AcknowledgedJob[];
  faults: string[];
  /** Calls that were answered. */
  calls: number;
}

interface Options {
  target: Target;
  random: () => number;
  /** A user token that is valid now. */
  ownerToken: () => Promise<string>;
  /** How many jobs live at the same time. */
  width: number;
}

/** Starts jobs one after the other until `finish` is called, which waits for those at work. */
export function startFleet({ target, random, ownerToken, width }: Options) {
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
    const benchmarks = nodeCount > 1 && chance(0.5) ? [CLUSTER] : ["quick_mark"];
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
    // 404: an earlier try was not answered, but took effect.
    expect(reply, [200, 400, 404], "delete");
    job.deleted = reply.status !== 400;
  }

  async function runAgent(job: AcknowledgedJob): Promise<void> {
    await pause(random() * 200);
    const task = await join(job, randomUUID());
    if (task === null) return;
    // Of one job in ten, one machine dies without a word; the others go on.
    const dies = job.nodeCount > 1 && chance(0.05);
    for (;;) {
      const view = await ask("GET", `/jobs/current?task_id=${task.id}`, job.token);
      expect(view, [200], "poll");
      const { directive, step } = view.body;
      if (directive === "stop") return;
      await pause(random() * (directive === "run" ? 150 : 60));
      if (dies && chance(0.3)) return;
      if (directive !== "run") continue;
      if (chance(0.02)) await giveUp(job, task);
      else if (chance(0.05)) await join(job, task.machineUuid, task);
      else await report(job, task, step);
    }
  }

  async function join(
    job: AcknowledgedJob,
    machineUuid: string,
    known: AcknowledgedTask | null = null,
  ): Promise<AcknowledgedTask | null> {
    const body = { machine_uuid: machineUuid, cluster_address: "10.0.0.1:7117", gpu_count: 1 };
    const reply = await ask("POST", "/jobs/current/tasks", job.token, body);
    expect(reply, [200, 201, 409], "join");
    if (reply.status === 409) {
      // There is a place for each agent.
      if (reply.body.error.code !== "JOB_ENDED") ledger.faults.push(`join: ${reply.text}`);
      return null;
    }
    const id = Number(reply.body.id);
    if (known !== null) {
      if (known.id !== id) ledger.faults.push(`machine ${machineUuid}: ${known.id}, then ${id}`);
      return known;
    }
    const task = { id, machineUuid, results: [] };
    job.tasks.push(task);
    return task;
  }

  async function giveUp(job: AcknowledgedJob, task: AcknowledgedTask): Promise<void> {
    const body = { state: "failed", failed_message: "out of memory" };
    const reply = await ask("PATCH", `/jobs/current/tasks/${task.id}`, job.token, body);
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
    const body = {
      state,
      started_at: "2026-01-01T00:00:00Z",
      ended_at: "2026-01-01T00:05:00Z",
      results,
      error_message: state === "failed" ? "no GPU" : null,
    };
    const path = `/jobs/current/tasks/${task.id}/results/${position}`;
    const reply = await ask("PUT", path, job.token, body);
    // 409: the job was aborted, or the node counted as lost, before the result came.
    expect(reply, [200, 409], "result");
    if (reply.status !== 200) return;
    task.results.push({ position, state, results, body, reply: reply.text });
    if (!chance(0.2)) return;
    const again = await ask("PUT", path, job.token, body);
    if (again.text !== reply.text) ledger.faults.push(`repeat: ${again.text}, not ${reply.text}`);
    const other = await ask("PUT", path, job.token, { ...body, ended_at: "2026-01-01T00:06:00Z" });
    expect(other, [422], "another result in the same slot");
  }

  function figures(job: AcknowledgedJob, task: AcknowledgedTask, benchmarkId: string): object {
    const figure = Math.ceil(random() * 1_000_000) / 1_000;
    if (benchmarkId !== CLUSTER) {
      const measured = { bf16_tflops: figure, memory_bandwidth_gbs: 3_254.5 };
      return { aggregate_results: measured, ...(chance(0.05) ? { log: LARGE } : {}) };
    }
    const own = task.id - job.id - 1;
    const others = [...Array(job.nodeCount).keys()].filter((rank) => rank !== own);
    const measurements = others.map((target_rank) => ({
      source_rank: own,
      target_rank,
      bandwidth_gbps: figure,
      latency_ms: 0.5,
    }));
    return { measurements };
  }

  const lanes = Array.from({ length: width }, async () => {
    while (!finishing) await runJob();
  });
  // A broken lane stops the run; it is reported when the fleet finishes.
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
