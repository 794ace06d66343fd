/**
 * Objects live for days, and a deployment replaces Worker and objects one after the other: storage of an
 * older version is read, and neighbouring versions understand each other (docs/reliability.md).
 */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { MIGRATIONS } from "../../../src/coordinator/storage/storage.ts";
import type { SentMachine } from "../../../src/coordinator/wire/machine.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { utf8Bytes } from "../../../src/lib/json.ts";
import {
  appDeps,
  detail,
  expectError,
  join,
  machineUuid,
  poll,
  putResult,
} from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import { coordinatorOf, flushed } from "../harness/instruments.ts";

const RESULT = { bf16_tflops: 452.2, memory_bandwidth_gbs: 3254.42 };

/** Rows of a job of two nodes, the first of which has ended its one step: as the first version wrote them. */
function rowsOf(job: TestJob, createdAt: number): [string, ...unknown[]][] {
  const identity = {
    jobId: Number(job.id),
    name: "kept",
    sequence: [{ benchmark_id: "quick_mark", config: null }],
    isForRunners: false,
    peerKey: "00".repeat(32),
  };
  const pending = { state: "created", startedAt: null, endedAt: null, errorMessage: null };
  const body = {
    version: 3,
    state: "running",
    startedAt: createdAt,
    endedAt: null,
    steps: [pending],
    nodeCount: 2,
    plan: [{ key: "quick_mark", cluster: false }],
    expiresAt: createdAt + 86_400_000,
  };
  const machine = (rank: number) => ({
    machineUuid: `00000000-0000-4000-8000-0000000000a${rank}`,
    machineIp: null,
    clusterAddresses: [],
    gpuModel: "NVIDIA H100 NVL",
    gpuCount: 1,
    gpuModels: null,
    inventoryHash: null,
    bootId: null,
  });
  const node = (rank: number, ended: boolean) => ({
    rank,
    machine: machine(rank),
    access: { secretHash: null, isClaim: false, epoch: 0 },
    failedMessage: null,
    joinedAt: createdAt,
    startedAt: createdAt,
    lostAt: null,
    gaveUp: false,
    state: ended ? "completed" : "running",
    endedAt: ended ? createdAt : null,
    steps: [
      {
        state: ended ? "completed" : "running",
        startedAt: createdAt,
        endedAt: ended ? createdAt : null,
        errorMessage: null,
      },
    ],
  });
  const event = { at: createdAt, kind: "joined", rank: 0, message: "node 0 joined (1 of 2)" };
  const digest = { aggregate: RESULT, gpus: null, provenance: null };
  const results = utf8Bytes(JSON.stringify({ aggregate_results: RESULT }));
  return [
    [
      "INSERT INTO job (id, identity, body, flushed_version) VALUES (1, ?, ?, 0)",
      JSON.stringify(identity),
      JSON.stringify(body),
    ],
    [
      "INSERT INTO node (rank, version, body) VALUES (0, 3, ?), (1, 2, ?)",
      JSON.stringify(node(0, true)),
      JSON.stringify(node(1, false)),
    ],
    [
      "INSERT INTO contact (rank, at, progress, message) VALUES (0, ?, 0, NULL), (1, ?, 0.5, 'half')",
      createdAt,
      createdAt,
    ],
    ["INSERT INTO event (seq, body) VALUES (0, ?)", JSON.stringify(event)],
    [
      "INSERT INTO result (rank, position, hash, version, results) VALUES (0, 0, 'h', 3, ?)",
      results,
    ],
    [
      "INSERT INTO digest (position, rank, hardware, body) VALUES (0, 0, ?, ?)",
      JSON.stringify({ gpuModel: null, gpuCount: null, gpuModels: null }),
      JSON.stringify(digest),
    ],
  ];
}

/** Puts the object to sleep with the tables of a version of the server, and the rows of the first. */
async function leaveBehind(job: TestJob, version: number): Promise<void> {
  await poll(job);
  const createdAt = systemClock.now();
  await runInDurableObject(coordinatorOf(job), (_object, { storage }) => {
    const { sql } = storage;
    const tables = sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'",
      )
      .toArray();
    for (const { name } of tables) sql.exec(`DROP TABLE ${name}`);
    sql.exec("CREATE TABLE schema_version (version INTEGER NOT NULL)");
    for (const migration of MIGRATIONS.slice(0, version)) sql.exec(migration);
    sql.exec("INSERT INTO schema_version (version) VALUES (?)", version);
    for (const [statement, ...values] of rowsOf(job, createdAt)) sql.exec(statement, ...values);
  });
  await evictDurableObject(coordinatorOf(job));
}

describe("storage of an older version", () => {
  test.for(MIGRATIONS.map((_migration, at) => at + 1))(
    "version %i: the job goes on where it was, and ends",
    async (version, { expect }) => {
      const job = await createJob({ node_count: 2 });
      await leaveBehind(job, version);
      expect((await detail(job)).body).toMatchObject({
        state: "running",
        current_nodes: 2,
        tasks: [
          {
            state: "completed",
            benchmark_results: { quick_mark: { results: { aggregate_results: RESULT } } },
          },
          { state: "running", progress: 0.5, message: "half" },
        ],
        events: [{ kind: "joined" }],
      });
      const last = `${Number(job.id) + 2}`;
      expect((await putResult(job, last, 0)).status).toBe(200);
      expect((await poll(job, last)).body.directive).toBe("stop");
      await flushed(job);
      const { body } = await detail(job);
      expect(body).toMatchObject({ state: "completed", tasks: [{ state: "completed" }, {}] });
      expect(body.quickmark_aggregate_results).toMatchObject({ node_count: 2 });
      const stored = await runInDurableObject(coordinatorOf(job), (_object, { storage }) =>
        storage.sql.exec<{ version: number }>("SELECT version FROM schema_version").one(),
      );
      expect(stored.version).toBe(MIGRATIONS.length);
    },
  );
});

describe("a Worker and an object of different versions", () => {
  const machine = (): SentMachine => ({
    machineUuid: machineUuid(),
    machineIp: null,
    clusterAddresses: [],
    gpuModel: null,
    gpuCount: null,
    gpuModels: null,
    inventory: null,
    bootId: null,
  });

  test("a newer Worker sends fields that the object does not know: they are ignored", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const object = coordinatorOf(job) as unknown as {
      join: (...args: unknown[]) => Promise<{ ok: boolean }>;
      poll: (...args: unknown[]) => Promise<{ ok: boolean }>;
      heartbeat: (...args: unknown[]) => Promise<{ ok: boolean }>;
    };
    const jobId = Number(job.id);
    const newer = { ...machine(), colour: "red" };
    expect(await object.join(jobId, newer, { hint: 1 })).toMatchObject({ ok: true });
    expect(await object.poll(jobId, jobId + 1, null, null, "more")).toMatchObject({ ok: true });
    const said = { progress: 0.25, mood: "good" };
    expect(await object.heartbeat(jobId, jobId + 1, said)).toMatchObject({ ok: true });
    await flushed(job);
    expect((await detail(job)).body.tasks).toMatchObject([{ progress: 0.25 }]);
  });

  test("an older Worker leaves fields out: they are null", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const object = coordinatorOf(job) as unknown as {
      join: (...args: unknown[]) => Promise<{ ok: boolean }>;
    };
    const older = { machineUuid: machineUuid(), machineIp: null };
    expect(await object.join(Number(job.id), older)).toMatchObject({ ok: true });
    await flushed(job);
    const [task] = (await detail(job)).body.tasks;
    expect(task).toMatchObject({ gpu_model: null, gpu_count: null });
  });

  test("an object that does not know the call yet: 503 with Retry-After, until it is replaced", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    // As the platform answers it: the object of another class has no such method.
    const older = {
      idFromName: (name: string) => env.COORDINATOR.idFromName(name),
      get: () => ({
        poll: () =>
          Promise.reject(new TypeError('The RPC receiver does not implement the method "poll".')),
      }),
    } as unknown as ReturnType<typeof appDeps>["coordinators"]; // has all of a namespace that the client uses
    const app = await createApp(appDeps({ coordinators: older }));
    const url = "https://assay.test/api/silicon-mark/v1/jobs/current";
    const reply = await app.request(url, { headers: { authorization: `Bearer ${job.token}` } });
    expect(reply.status).toBe(503);
    expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await poll(job)).status).toBe(200);
    expectError(
      expect,
      await putResult(job, `${Number(job.id) + 1}`, 0),
      404,
      "RESOURCE_NOT_FOUND",
    );
    await join(job);
  });
});
