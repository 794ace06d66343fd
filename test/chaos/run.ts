/**
 * Runs the built Worker in workerd with its state on disk and many agents, and kills it at random moments.
 * Afterwards no acknowledged write may be missing, and D1, R2 and the objects must agree.
 */
import { existsSync, type FSWatcher, mkdtempSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { type LocalWorker, startLocalWorker } from "../../scripts/lib/local-worker.ts";
import { hashPassword } from "../../src/identity/password-hash.ts";
import { patient } from "../patience.ts";
import { addPerson } from "../world/people.ts";
import { createRandom } from "../world/random.ts";
import { call, type Target } from "./client.ts";
import { type ChaosTransport, type Ledger, startFleet } from "./fleet.ts";
import { killWorkerd } from "./kill.ts";
import { type Verdict, verify } from "./verify.ts";

export interface ChaosOptions {
  kills: number;
  seed: number;
  /** How nodes hear of changes. */
  transport?: ChaosTransport;
  /** Called after each kill with the number of kills so far. */
  onKill?: (kills: number) => void;
  signal?: AbortSignal;
}

export interface ChaosReport extends Verdict {
  kills: number;
  jobs: number;
  tasks: number;
  results: number;
  calls: number;
  /** Number of unanswered calls that were retried. */
  repeated: number;
  /** Channels that nodes have opened, and views that have come by them. */
  sockets: number;
  pushed: number;
  faults: string[];
}

/** Rate limits are lifted, and the lease is the shortest so that a dead machine does not delay the run. */
const VARS = { RATE_LIMIT_SCALE: "1000000", NODE_TIMEOUT_SECONDS: "10" };
const JOBS_AT_ONCE = 8;
/** Time from the server's first answer until the next kill. */
const LIFE_MS = { from: 20, to: 700 };
/** Longest wait for a write of R2 before a kill. */
const R2_PATIENCE_MS = 2_000;
/** Time after the work for two leases, a failed flush and its retry, on a slow machine. */
const DRAIN_MS = patient(180_000);
const PERSON = { email: "owner@example.com", password: "a password of the chaos" };
/** Half of a user token's lifetime. */
const SIGN_IN_EVERY_MS = 30 * 60_000;

export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const folder = mkdtempSync(join(tmpdir(), "assay-chaos-"));
  const state = join(folder, "state");
  try {
    const worker = await startLocalWorker(await buildBundle(folder), VARS, state);
    let run: { ledger: Ledger; target: Target };
    try {
      run = await strike(worker, state, options);
      if (options.transport === "channel") await wakeAll(run.target, run.ledger);
      await drain(worker);
      await readBack(run.target, run.ledger);
    } finally {
      await worker.stop();
    }
    const { ledger, target } = run;
    const tasks = ledger.jobs.flatMap((job) => job.tasks);
    return {
      kills: options.kills,
      jobs: ledger.jobs.length,
      tasks: tasks.length,
      results: tasks.flatMap((task) => task.results).length,
      calls: ledger.calls,
      repeated: target.repeated,
      sockets: target.sockets,
      pushed: target.pushed,
      faults: ledger.faults,
      ...verify(state, ledger),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Runs the load and the kills, lets the work end, then sends every acknowledged result once more. */
async function strike(
  worker: LocalWorker,
  state: string,
  { kills, seed, transport = "poll", onKill, signal }: ChaosOptions,
): Promise<{ ledger: Ledger; target: Target }> {
  await addPerson(worker.db, {
    email: PERSON.email,
    role: "user",
    customer: "chaos",
    passwordHash: await hashPassword(PERSON.password),
  });
  let { url } = worker;
  const target: Target = { url: () => url, repeated: 0, sockets: 0, pushed: 0, stopped: null };
  signal?.addEventListener("abort", () => {
    target.stopped ??= new Error("Stopped");
  });
  const random = createRandom(seed);
  const fleet = startFleet({
    target,
    random: createRandom(seed + 1),
    ownerToken: createSignIn(target),
    width: JOBS_AT_ONCE,
    transport,
  });
  const blobs = join(state, "r2", "assay", "blobs");
  for (let killed = 0; killed < kills; ) {
    await pause(LIFE_MS.from + random() * (LIFE_MS.to - LIFE_MS.from));
    // Every other kill comes while R2 takes an object, which D1 does not know yet.
    if (killed % 2 === 1) await Promise.race([nextWrite(blobs), pause(R2_PATIENCE_MS)]);
    if (target.stopped !== null) throw target.stopped;
    if (killWorkerd() === 0) throw new Error("There is no workerd to be killed");
    onKill?.(++killed);
    url = await answering(worker, target);
  }
  await fleet.finish();
  for (const job of fleet.ledger.jobs) {
    for (const task of job.tasks) {
      for (const { position, body, reply } of task.results) {
        const path = `/api/silicon-mark/v1/jobs/current/tasks/${task.id}/results/${position}`;
        const again = await call(target, "PUT", path, job.token, body, task.own);
        if (again.text !== reply) fleet.ledger.faults.push(`${path}: ${again.text}`);
      }
    }
  }
  return { ledger: fleet.ledger, target };
}

/** Waits for the next file in a folder that may not be there yet. */
async function nextWrite(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  let watcher: FSWatcher | undefined;
  await new Promise<void>((done) => {
    watcher = watch(folder, () => done());
  });
  watcher?.close();
}

/** Reads every task that is left, as its owner does: each acknowledged result is shown, and shown once. */
async function readBack(target: Target, { jobs, faults }: Ledger): Promise<void> {
  const token = await createSignIn(target)();
  for (const job of jobs.filter(({ deleted }) => !deleted)) {
    for (const task of job.tasks) {
      const path = `/api/silicon-mark/v1/tasks/${task.id}/results`;
      const reply = await call(target, "GET", path, token);
      const shown = Object.values(reply.body.benchmark_results ?? {}) as { results: unknown }[]; // by the contract
      const sent = task.results.filter(({ results }) => results !== null);
      const stored = shown.filter(({ results }) => results !== null);
      if (reply.status !== 200 || stored.length !== sent.length) {
        faults.push(
          `${path} shows ${stored.length} of ${sent.length}: ${reply.text.slice(0, 300)}`,
        );
      }
    }
  }
}

/** Waits until the restarted workerd answers. */
async function answering(worker: LocalWorker, target: Target): Promise<URL> {
  for (;;) {
    if (target.stopped !== null) throw target.stopped;
    try {
      const url = await worker.ready();
      const reply = await fetch(new URL("/health", url), {
        signal: AbortSignal.timeout(patient(5_000)),
      });
      if (reply.status === 200) return url;
    } catch {
      // Not yet.
    }
    await pause(10);
  }
}

/**
 * Reads each job once. A node that dies together with the server's sockets is otherwise looked for after 15 minutes; an
 * object that wakes finds them gone, and begins the ordinary lease.
 */
async function wakeAll(target: Target, { jobs }: Ledger): Promise<void> {
  const token = await createSignIn(target)();
  for (const job of jobs.filter(({ deleted }) => !deleted)) {
    await call(target, "GET", `/api/silicon-mark/v1/jobs/${job.id}`, token);
  }
}

/** Waits, without a call to any object, until D1 has the end of every job, and R2 its results. */
async function drain(worker: LocalWorker): Promise<void> {
  const db = await worker.database();
  const open = db.prepare(
    `SELECT count(*) AS jobs FROM jobs WHERE ended_at IS NULL AND (deleted_at IS NULL OR coordinated = 1)
     OR coordinated = 1 AND body_bytes IS NULL`,
  );
  const deadline = Date.now() + DRAIN_MS;
  while (Date.now() < deadline) {
    const { results } = await open.all<{ jobs: number }>();
    if (results[0]?.jobs === 0) return;
    await pause(200);
  }
}

function createSignIn(target: Target): () => Promise<string> {
  let token: Promise<string> | null = null;
  let until = 0;
  return () => {
    if (token === null || Date.now() > until) {
      until = Date.now() + SIGN_IN_EVERY_MS;
      token = call(target, "POST", "/api/user/login", null, PERSON).then(({ body }) =>
        String(body.data.id_token),
      );
    }
    return token;
  };
}

/** A summary of the run and its faults. */
export function describeChaos(report: ChaosReport): string {
  const { kills, jobs, results, calls, repeated, tasks, sockets, pushed } = report;
  const counts = (["lost", "different", "duplicates", "unsettled", "faults"] as const).map(
    (kind) => `${report[kind].length} ${kind}`,
  );
  return [
    `${kills} kills; ${jobs} jobs, ${results} results, ${calls} calls answered, ${repeated} made again`,
    ...(sockets > 0
      ? [`${sockets} channels opened by ${tasks} nodes, ${pushed} views pushed`]
      : []),
    `acknowledged writes, D1 rows, R2 and objects: ${counts.join(", ")}`,
  ].join("\n");
}

/** All faults of the run, one line each. */
export function failuresOf(report: ChaosReport): string[] {
  return (["lost", "different", "duplicates", "unsettled", "faults"] as const).flatMap((kind) =>
    report[kind].map((line) => `${kind}: ${line}`),
  );
}
