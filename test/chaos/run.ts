/**
 * The built Worker in workerd with its state on disk, many agents at work, and SIGKILL at random moments.
 * Afterwards nothing that was acknowledged may be missing, and D1 must have what the objects have.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { type LocalWorker, startLocalWorker } from "../../scripts/lib/local-worker.ts";
import { hashPassword } from "../../src/identity/password.ts";
import { call, type Target } from "./client.ts";
import { type Ledger, startFleet } from "./fleet.ts";
import { killWorkerd } from "./kill.ts";
import { createRandom, pause } from "./random.ts";
import { type Verdict, verify } from "./verify.ts";

export interface ChaosOptions {
  kills: number;
  seed: number;
  /** Called after each kill with how many there have been. */
  onKill?: (kills: number) => void;
  signal?: AbortSignal;
}

export interface ChaosReport extends Verdict {
  kills: number;
  jobs: number;
  results: number;
  calls: number;
  /** Calls that were made again, because they were not answered. */
  repeated: number;
  faults: string[];
}

/** Limits per caller would end the run; the shortest lease, so that a machine that died does not hold it up. */
const VARS = { RATE_LIMIT_SCALE: "1000000", NODE_TIMEOUT_SECONDS: "10" };
const JOBS_AT_ONCE = 8;
/** Between two kills, from the moment the server answers again. */
const LIFE_MS = { from: 20, to: 700 };
/** From the end of the work: two leases, a failed flush and its retry, on a slow machine. */
const DRAIN_MS = 180_000;
const PERSON = { email: "owner@example.com", password: "a password of the chaos" };
/** User tokens live for an hour. */
const SIGN_IN_EVERY_MS = 30 * 60_000;

export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const folder = mkdtempSync(join(tmpdir(), "assay-chaos-"));
  const state = join(folder, "state");
  try {
    const worker = await startLocalWorker(await buildBundle(folder), VARS, state);
    let run: { ledger: Ledger; target: Target };
    try {
      run = await strike(worker, options);
      await drain(worker);
    } finally {
      await worker.stop();
    }
    const { ledger, target } = run;
    const tasks = ledger.jobs.flatMap((job) => job.tasks);
    return {
      kills: options.kills,
      jobs: ledger.jobs.length,
      results: tasks.flatMap((task) => task.results).length,
      calls: ledger.calls,
      repeated: target.repeated,
      faults: ledger.faults,
      ...verify(state, ledger),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Works and kills, then lets the work end, and asks for every result once more. */
async function strike(
  worker: LocalWorker,
  { kills, seed, onKill, signal }: ChaosOptions,
): Promise<{ ledger: Ledger; target: Target }> {
  await addPerson(worker);
  let { url } = worker;
  const target: Target = { url: () => url, repeated: 0, stopped: null };
  signal?.addEventListener("abort", () => {
    target.stopped ??= new Error("Stopped");
  });
  const random = createRandom(seed);
  const fleet = startFleet({
    target,
    random: createRandom(seed + 1),
    ownerToken: createSignIn(target),
    width: JOBS_AT_ONCE,
  });
  for (let killed = 0; killed < kills; ) {
    await pause(LIFE_MS.from + random() * (LIFE_MS.to - LIFE_MS.from));
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
        const again = await call(target, "PUT", path, job.token, body);
        if (again.text !== reply) fleet.ledger.faults.push(`${path}: ${again.text}`);
      }
    }
  }
  return { ledger: fleet.ledger, target };
}

/** Waits until workerd has been started again and answers. */
async function answering(worker: LocalWorker, target: Target): Promise<URL> {
  for (;;) {
    if (target.stopped !== null) throw target.stopped;
    try {
      const url = await worker.ready();
      const reply = await fetch(new URL("/health", url), { signal: AbortSignal.timeout(5_000) });
      if (reply.status === 200) return url;
    } catch {
      // Not yet.
    }
    await pause(10);
  }
}

/** Waits, without a call to any object, until D1 has heard of the end of every job. */
async function drain(worker: LocalWorker): Promise<void> {
  const db = await worker.database();
  const open = db.prepare(
    "SELECT count(*) AS jobs FROM jobs WHERE ended_at IS NULL AND (deleted_at IS NULL OR coordinated = 1)",
  );
  const deadline = Date.now() + DRAIN_MS;
  while (Date.now() < deadline) {
    const { results } = await open.all<{ jobs: number }>();
    if (results[0]?.jobs === 0) return;
    await pause(200);
  }
}

async function addPerson({ db }: LocalWorker): Promise<void> {
  const passwordHash = await hashPassword(PERSON.password);
  await db.batch([
    db
      .prepare(
        `INSERT INTO customers (uuid, name, slug, created_at, modified_at)
         VALUES (?1, 'Chaos', 'chaos', 0, 0)`,
      )
      .bind(randomUUID()),
    db
      .prepare(
        `INSERT INTO users (uuid, customer_id, email, name, slug, role, password_hash, created_at, modified_at)
         SELECT ?1, id, ?2, 'Owner', 'owner', 'user', ?3, 0, 0 FROM customers WHERE slug = 'chaos'`,
      )
      .bind(randomUUID(), PERSON.email, passwordHash),
  ]);
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

/** A table of what was done, and what was found. */
export function describeChaos(report: ChaosReport): string {
  const { kills, jobs, results, calls, repeated } = report;
  const found = (["lost", "different", "duplicates", "unsettled", "faults"] as const).map(
    (kind) => `${report[kind].length} ${kind}`,
  );
  return [
    `${kills} kills; ${jobs} jobs, ${results} results, ${calls} calls answered, ${repeated} made again`,
    `acknowledged writes, D1 rows and objects: ${found.join(", ")}`,
  ].join("\n");
}

/** Everything that should not be, one line each. */
export function failuresOf(report: ChaosReport): string[] {
  return (["lost", "different", "duplicates", "unsettled", "faults"] as const).flatMap((kind) =>
    report[kind].map((line) => `${kind}: ${line}`),
  );
}
