/** The object of a job as a good engineer first writes it: a few rows, a view held in memory, a counter as its version. */
import { DurableObject } from "cloudflare:workers";
import { benchmarkOf } from "../../src/benchmarks/catalogue.ts";
import { checkResults, readResult } from "../../src/coordinator/wire/results.ts";
import { toTimestamp } from "../../src/lib/clock.ts";
import type { BaselineEnv } from "./env.ts";

type Json = Record<string, string | number | null>;

const MACHINE = {
  hardware: { gpuModel: "NVIDIA H100 NVL", gpuCount: 1, gpuModels: null },
  models: new Map<string, string>(),
};

export class PlainJob extends DurableObject<BaselineEnv> {
  /** The view of its nodes, without the time of the next poll. */
  readonly #view: Json;
  readonly #contacts = new Map<number, number>();
  #version = 1;

  constructor(ctx: DurableObjectState, env: BaselineEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS results (task INTEGER, position INTEGER, hash TEXT, body BLOB, PRIMARY KEY (task, position));
      CREATE TABLE IF NOT EXISTS nodes (task INTEGER PRIMARY KEY, state TEXT, ended_at INTEGER)`);
    this.#view = JSON.parse(env.REPLIES.poll ?? "{}");
  }

  poll(task: number, known: string | null): { etag: string; wait: number; text: string | null } {
    this.#contacts.set(task, Date.now());
    const etag = `W/"${task}.${this.#version}"`;
    const wait = Math.round((45 + Math.random() * 15) * 10) / 10;
    const view = () => JSON.stringify({ ...this.#view, poll_after_seconds: wait });
    return { etag, wait, text: known === etag ? null : view() };
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
      sql.exec("INSERT INTO results VALUES (?, ?, ?, ?)", task, position, hash, bytes);
      sql.exec("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", task, end.state, end.endedAt);
      this.#version++;
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
