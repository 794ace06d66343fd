/** The rows of a flush: what D1 stores, and by how many statements. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import type { JobRecord, TaskRecord } from "../../../src/coordinator/projection/records.ts";
import { writeProjection } from "../../../src/coordinator/projection/write-projection.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import type { Step } from "../../../src/lib/stored-json.ts";
import { createPerson } from "../harness/factories.ts";
import { insertJobRow, jobRow, taskRows, times } from "../harness/rows.ts";

/** Each character that JSON or SQL could take for its own. */
const HOSTILE = `"'\\;--\u2028\n\t{[,:null]} ?1 $[0] ünï 🦊 ${"\\u0041"}`;
const ENDED: Step = { state: "failed", startedAt: 1, endedAt: 2, errorMessage: HOSTILE };

/** D1, whose batches are counted. */
function countedD1() {
  const batches: D1Result[][] = [];
  const d1 = {
    prepare: (query: string) => env.DB.prepare(query),
    async batch(statements: D1PreparedStatement[]) {
      const results = await env.DB.batch(statements);
      batches.push(results);
      return results;
    },
  };
  return { db: openDatabase(d1 as unknown as D1Database, createMeter()), batches };
}

function taskRecord(jobId: number, rank: number, changes: Partial<TaskRecord> = {}): TaskRecord {
  return {
    id: jobId + 1 + rank,
    jobId,
    rank,
    version: 2,
    machineUuid: `00000000-0000-4000-8000-${String(rank).padStart(12, "0")}`,
    hostName: null,
    machineIp: "10.0.0.1",
    clusterAddress: null,
    gpuModel: null,
    gpuCount: null,
    gpuModels: null,
    models: null,
    bodies: [],
    figures: null,
    implausible: null,
    specCheck: null,
    state: "running",
    failedMessage: null,
    steps: [],
    progress: 0,
    message: null,
    clockSkewMs: null,
    createdAt: 1_700_000_000_000,
    startedAt: null,
    endedAt: null,
    ...changes,
  };
}

const jobRecord = (changes: Partial<JobRecord> = {}): JobRecord => ({
  version: 2,
  state: "running",
  currentNodes: 1,
  startedAt: null,
  endedAt: null,
  steps: [],
  events: [],
  specCheck: null,
  ...changes,
});

let last = 512 * 700;

async function newRow() {
  const { id: userId, customerId } = await createPerson();
  last += 512;
  await insertJobRow({ id: userId, customerId }, { id: last, state: "running" });
  return { jobId: last, userId, customerId };
}

describe("a flush", () => {
  test("of 256 nodes is one round trip of two statements", async ({ expect }) => {
    const { jobId } = await newRow();
    const { db, batches } = countedD1();
    const records = times(256, (rank) => taskRecord(jobId, rank));
    await writeProjection(db, { knownEvents: 0, jobId, job: jobRecord(), tasks: records }, 1);
    expect(batches.map((results) => results.length)).toEqual([2]);
    expect(await taskRows({ id: String(jobId) })).toHaveLength(256);
  });

  test("stores every value as it is, with the job's owner", async ({ expect }) => {
    const { jobId, userId, customerId } = await newRow();
    const full = taskRecord(jobId, 0, {
      hostName: HOSTILE,
      machineIp: null,
      clusterAddress: "[::1]:29500",
      gpuModel: HOSTILE,
      gpuCount: 8,
      gpuModels: [{ model: HOSTILE, count: 8 }],
      models: [HOSTILE, "h200"],
      bodies: [[0, 1_048_576]],
      implausible: [[0, HOSTILE, "null"]],
      specCheck: { status: "differs", fields: [] },
      state: "failed",
      failedMessage: HOSTILE,
      steps: [ENDED, ENDED],
      progress: 0.1 + 0.2,
      message: "null",
      clockSkewMs: -12,
      startedAt: 1,
      endedAt: Number.MAX_SAFE_INTEGER,
    });
    const bare = taskRecord(jobId, 1);
    const { db } = countedD1();
    await writeProjection(db, { knownEvents: 0, jobId, job: jobRecord(), tasks: [full, bare] }, 1);
    const rows = await taskRows({ id: String(jobId) });
    const owned = { userId, customerId, deletedAt: null, bodyOffset: null, reportHash: null };
    const steps = [ENDED, ENDED].map((step) => expect.objectContaining(step));
    expect(rows).toMatchObject([
      { ...full, steps, ...owned },
      { ...bare, ...owned },
    ]);
  });

  test("changes rows that are older, leaves newer ones, and what D1 has of its own", async ({
    expect,
  }) => {
    const { jobId } = await newRow();
    const { db } = countedD1();
    const write = (tasks: TaskRecord[], version: number) =>
      writeProjection(db, { knownEvents: 0, jobId, job: jobRecord({ version }), tasks }, version);
    await write([taskRecord(jobId, 0), taskRecord(jobId, 1, { version: 7, message: "new" })], 7);
    const own = "update tasks set body_offset = 5, finding_count = 1 where job_id = ?1";
    await env.DB.prepare(own).bind(jobId).run();
    const late = { version: 5, message: "late", machineUuid: "another", createdAt: 1 };
    await write([taskRecord(jobId, 0, late), taskRecord(jobId, 1, late)], 5);
    const kept = { bodyOffset: 5, findingCount: 1, createdAt: 1_700_000_000_000 };
    expect(await taskRows({ id: String(jobId) })).toMatchObject([
      { ...kept, version: 5, message: "late", machineUuid: taskRecord(jobId, 0).machineUuid },
      { ...kept, version: 7, message: "new" },
    ]);
    expect((await jobRow({ id: String(jobId) })).version).toBe(7);
  });

  test("above 1 MB is several batches, none above 1 MB but for a row that is, the job's row last", async ({
    expect,
  }) => {
    const { jobId } = await newRow();
    const { db, batches } = countedD1();
    const text = (length: number) => ({ failedMessage: "x".repeat(length) });
    const tasks = [400_000, 400_000, 400_000, 1_200_000, 1].map((length, rank) =>
      taskRecord(jobId, rank, text(length)),
    );
    await writeProjection(
      db,
      { knownEvents: 0, jobId, job: jobRecord({ currentNodes: 5 }), tasks },
      1,
    );
    // The triggers of a row write the counters, too.
    const written = batches.map((results) => results.map(({ meta }) => meta.changes > 0));
    expect(written).toEqual([[true], [true], [true], [true, true]]);
    expect(await taskRows({ id: String(jobId) })).toHaveLength(5);
    expect((await jobRow({ id: String(jobId) })).currentNodes).toBe(5);
  });

  test("without a changed node writes the job's row alone", async ({ expect }) => {
    const { jobId } = await newRow();
    const { db, batches } = countedD1();
    await writeProjection(
      db,
      { knownEvents: 0, jobId, job: jobRecord({ version: 3 }), tasks: [] },
      1,
    );
    expect(batches.map((results) => results.length)).toEqual([1]);
    expect((await jobRow({ id: String(jobId) })).version).toBe(3);
  });
});
