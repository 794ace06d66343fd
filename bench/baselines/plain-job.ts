/**
 * The object of a job as a good engineer first writes it: a view held in memory, a counter as its version, and rows for
 * what must survive a crash: results, the states and leases of nodes, events, and the version that validators name. Its
 * rows never go to D1.
 */
import { DurableObject } from "cloudflare:workers";
import { benchmarkOf } from "../../src/benchmarks/catalogue.ts";
import { checkResults, readResult } from "../../src/coordinator/wire/results.ts";
import { MIB } from "../../src/lib/bytes.ts";
import { HOUR_MS, toTimestamp } from "../../src/lib/clock.ts";
import type { BaselineEnv } from "./env.ts";

type Json = Record<string, string | number | null>;

/** A node out of contact for longer is lost. */
const LEASE_MS = 24 * HOUR_MS;
const MAX_RESULT_BYTES = 16 * MIB;

const MACHINE = {
  hardware: { gpuModel: "NVIDIA H100 NVL", gpuCount: 1, gpuModels: null },
  models: new Map<string, string>(),
};

export class PlainJob extends DurableObject<BaselineEnv> {
  /** The view of its nodes, without the time of the next poll. */
  readonly #view: Json;
  readonly #contacts = new Map<number, number>();
  readonly #writtenAt = new Map<number, number>();
  #version: number;
  #bytes: number;
  #hasAlarm = false;

  constructor(ctx: DurableObjectState, env: BaselineEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, version INTEGER, bytes INTEGER);
      CREATE TABLE IF NOT EXISTS results (task INTEGER, position INTEGER, hash TEXT, body BLOB, PRIMARY KEY (task, position));
      CREATE TABLE IF NOT EXISTS nodes (task INTEGER PRIMARY KEY, version INTEGER, state TEXT, steps TEXT);
      CREATE TABLE IF NOT EXISTS contacts (task INTEGER PRIMARY KEY, at INTEGER);
      CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, body TEXT);
      INSERT OR IGNORE INTO job VALUES (1, 1, 0)`);
    const { sql } = ctx.storage;
    const job = sql
      .exec<{ version: number; bytes: number }>("SELECT version, bytes FROM job")
      .one();
    this.#version = job.version;
    this.#bytes = job.bytes;
    for (const { task, at } of sql.exec<{ task: number; at: number }>("SELECT * FROM contacts")) {
      this.#contacts.set(task, at);
    }
    this.#view = JSON.parse(env.REPLIES.poll ?? "{}");
  }

  poll(task: number, known: string | null): { etag: string; wait: number; text: string | null } {
    this.#touch(task);
    const etag = `W/"${task}.${this.#version}"`;
    const wait = Math.round((45 + Math.random() * 15) * 10) / 10;
    const view = () => JSON.stringify({ ...this.#view, poll_after_seconds: wait });
    return { etag, wait, text: known === etag ? null : view() };
  }

  /** Renews a node's lease; written when half of it is over, since each row costs money. */
  #touch(task: number, isNews = false): void {
    const now = Date.now();
    this.#contacts.set(task, now);
    if (!this.#hasAlarm) void this.ctx.storage.setAlarm(now + LEASE_MS);
    this.#hasAlarm = true;
    if (!isNews && now - (this.#writtenAt.get(task) ?? 0) < LEASE_MS / 2) return;
    this.#writtenAt.set(task, now);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO contacts VALUES (?, ?)", task, now);
  }

  /** Nodes whose lease is over are lost. */
  override alarm(): void {
    this.#hasAlarm = false;
    const { sql } = this.ctx.storage;
    for (const [task, at] of this.#contacts) {
      if (Date.now() - at < LEASE_MS) this.#touch(task);
      else sql.exec("UPDATE nodes SET state = 'failed' WHERE task = ? AND state = 'running'", task);
    }
  }

  /** Null for a result that is refused. */
  putResult(task: number, position: number, body: string): { etag: string; reply: Json } | null {
    const read = readResult(body);
    if (!read.ok) return null;
    const { sent } = read;
    const { end, hash } = sent;
    const context = { rank: 0, nodeCount: 1, state: end.state, isAnonymous: false };
    const checked = checkResults(benchmarkOf("quick_mark"), sent, { ...context, ...MACHINE });
    if (!checked.ok) return null;
    const { sql } = this.ctx.storage;
    const find = "SELECT hash FROM results WHERE task = ? AND position = ?";
    const [stored] = sql.exec<{ hash: string }>(find, task, position);
    if (stored !== undefined && stored.hash !== hash) return null;
    if (stored === undefined) {
      const { bytes = null } = checked.results ?? {};
      const total = this.#bytes + (bytes?.length ?? 0);
      if (total > MAX_RESULT_BYTES) return null;
      const version = this.#version + 1;
      const steps = JSON.stringify([{ position, ...end }]);
      const event = { at: Date.now(), kind: "step_ended", task, message: `ended: ${end.state}` };
      this.ctx.storage.transactionSync(() => {
        sql.exec("INSERT INTO results VALUES (?, ?, ?, ?)", task, position, hash, bytes);
        const node = "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?)";
        sql.exec(node, task, version, end.state, steps);
        sql.exec("UPDATE job SET version = ?, bytes = ?", version, total);
        sql.exec("INSERT INTO events (body) VALUES (?)", JSON.stringify(event));
        this.#touch(task, true);
      });
      this.#version = version;
      this.#bytes = total;
    }
    const reply = {
      task_id: String(task),
      position,
      benchmark_id: "quick_mark",
      state: end.state,
      started_at: toTimestamp(end.startedAt),
      ended_at: toTimestamp(end.endedAt),
      clock_skew_ms: end.clockSkewMs ?? null,
      error_message: end.errorMessage,
      poll_after_seconds: 0,
    };
    return { etag: `W/"${task}.${this.#version}"`, reply };
  }
}
