import type { JsonObject, NodeDigest } from "../../benchmarks/benchmark.ts";
import { jsonChunks, utf8Length } from "../../lib/json.ts";
import { INVENTORY, type JobEvent } from "../../lib/stored-json.ts";
import type { Contact, Job, Live, Node } from "../life/model.ts";
import {
  implausibleText,
  insertDigest,
  type Measured,
  readDigests,
  readImplausible,
} from "./digests.ts";
import { ResultCounter } from "./result-bytes.ts";

export interface StoredResult extends Measured {
  /** Hash of the request body in canonical form, which tells a repeat from another result. */
  hash: string;
  /** UTF-8 of JSON; null for a failed step without figures. */
  results: Uint8Array | null;
  version: number;
}

/** A stored body: a result, or the inventory, which has the position `INVENTORY`. */
export interface StoredBody {
  rank: number;
  position: number;
  bytes: number;
}

/** A stage of the followups that has not succeeded yet. */
export interface PendingStage {
  /** Position in the order of stages. */
  seq: number;
  name: string;
  failures: number;
  /** Time at which the job settled, ms. */
  since: number;
  /** Time of the next try, ms. */
  dueAt: number;
}

/**
 * Each entry brings the storage from the version of its index to the next. Never edit a released entry:
 * objects live for days and move forward step by step.
 */
export const MIGRATIONS: readonly string[] = [
  // Digests have a table of their own: beside results of up to a MiB, each read would walk the pages of a result.
  `CREATE TABLE job (id INTEGER PRIMARY KEY CHECK (id = 1), identity TEXT NOT NULL, body TEXT NOT NULL, flushed_version INTEGER NOT NULL, hearing_since INTEGER NOT NULL DEFAULT 0) STRICT;
   CREATE TABLE node (rank INTEGER PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
   CREATE TABLE contact (rank INTEGER PRIMARY KEY, at INTEGER NOT NULL, progress REAL NOT NULL, message TEXT, told_to_stop INTEGER NOT NULL DEFAULT 0, news_at INTEGER NOT NULL DEFAULT 0, news_progress REAL NOT NULL DEFAULT 0, has_socket INTEGER NOT NULL DEFAULT 0, clock_skew_ms INTEGER) STRICT;
   CREATE TABLE result (rank INTEGER NOT NULL, position INTEGER NOT NULL, hash TEXT NOT NULL, version INTEGER NOT NULL, results BLOB, PRIMARY KEY (rank, position)) STRICT, WITHOUT ROWID;
   CREATE TABLE inventory (rank INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
   CREATE TABLE digest (position INTEGER NOT NULL, rank INTEGER NOT NULL, hardware TEXT NOT NULL, implausible TEXT, body TEXT NOT NULL, PRIMARY KEY (position, rank)) STRICT, WITHOUT ROWID;
   CREATE TABLE event (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
   CREATE TABLE stage (seq INTEGER PRIMARY KEY, name TEXT NOT NULL, failures INTEGER NOT NULL, since INTEGER NOT NULL, due_at INTEGER NOT NULL) STRICT;`,
];

/** Bound of the rows that a statement writes at once: the platform takes texts of at most 2 MB. */
const MAX_ROWS_BYTES = 500_000;

/**
 * The object's SQLite. Every method is synchronous, so that a caller can write state, results and alarm in a
 * block without `await`, which the platform commits atomically.
 */
export class CoordinatorStorage {
  readonly #sql: SqlStorage;
  readonly resultCounter: ResultCounter;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    this.resultCounter = new ResultCounter(storage.sql);
    storage.transactionSync(() => this.#migrate());
  }

  #migrate(): void {
    this.#sql.exec("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
    const row = this.#sql
      .exec<{ version: number }>("SELECT version FROM schema_version")
      .toArray()[0];
    const from = row?.version ?? 0;
    if (from === MIGRATIONS.length) return;
    for (const migration of MIGRATIONS.slice(from)) this.#sql.exec(migration);
    this.#sql.exec("DELETE FROM schema_version");
    this.#sql.exec("INSERT INTO schema_version (version) VALUES (?)", MIGRATIONS.length);
  }

  load(): Live | null {
    const row = this.#sql
      .exec<{ identity: string; body: string; flushed_version: number; hearing_since: number }>(
        "SELECT * FROM job",
      )
      .toArray()[0];
    if (row === undefined) return null;
    const nodes = this.#sql
      .exec<{ body: string }>("SELECT body FROM node ORDER BY rank")
      .toArray()
      .map(({ body }): Node => JSON.parse(body));
    const events = this.#sql
      .exec<{ body: string }>("SELECT body FROM event ORDER BY seq")
      .toArray()
      .map(({ body }): JobEvent => JSON.parse(body));
    const body: Omit<Job, "nodes" | "events"> = JSON.parse(row.body);
    return {
      identity: JSON.parse(row.identity),
      job: { ...body, nodes, events },
      flushedVersion: row.flushed_version,
      hearingSince: row.hearing_since,
    };
  }

  /** Stores a job that was just taken over. The tables may be missing, since `Retention` deletes everything. */
  create(live: Live): void {
    this.#migrate();
    this.resultCounter.forget();
    this.#sql.exec(
      "INSERT INTO job (id, identity, body, flushed_version) VALUES (1, ?, ?, ?)",
      JSON.stringify(live.identity),
      JSON.stringify(bodyOf(live.job)),
      live.flushedVersion,
    );
    this.#saveEvents(live.job.events, 0);
  }

  /** Writes the differences between two states of the job. */
  saveChanges(before: Job, after: Job): void {
    this.#sql.exec("UPDATE job SET body = ?", JSON.stringify(bodyOf(after)));
    const changed = after.nodes.filter((node) => before.nodes[node.rank] !== node);
    const insert =
      "INSERT OR REPLACE INTO node (rank, version, body) SELECT value ->> 'rank', ?, value FROM json_each(?)";
    for (const text of jsonChunks(changed, MAX_ROWS_BYTES))
      this.#sql.exec(insert, after.version, text);
    this.#saveEvents(after.events, before.events.length);
  }

  /** Writes the events from an index on; events are only ever added. */
  #saveEvents(events: readonly JobEvent[], from: number): void {
    for (const [offset, event] of events.slice(from).entries()) {
      const insert = "INSERT INTO event (seq, body) VALUES (?, ?)";
      this.#sql.exec(insert, from + offset, JSON.stringify(event));
    }
  }

  /** By rank. */
  contacts(): Contact[] {
    return this.#sql
      .exec<{
        at: number;
        progress: number;
        message: string | null;
        told_to_stop: number;
        newsAt: number;
        newsProgress: number;
        has_socket: number;
        clockSkewMs: number | null;
      }>(
        "SELECT at, progress, message, told_to_stop, news_at newsAt, news_progress newsProgress, has_socket, clock_skew_ms clockSkewMs FROM contact ORDER BY rank",
      )
      .toArray()
      .map(({ told_to_stop, has_socket, ...contact }) => ({
        ...contact,
        toldToStop: told_to_stop === 1,
        hasSocket: has_socket === 1,
      }));
  }

  /** One statement for all of them: up to 256 nodes are told to stop at the same moment. */
  saveContacts(contacts: readonly (readonly [rank: number, contact: Contact])[]): void {
    const rows = contacts.map(([rank, contact]) => [
      rank,
      contact.at,
      contact.progress,
      contact.message,
      contact.toldToStop ? 1 : 0,
      contact.newsAt,
      contact.newsProgress,
      contact.hasSocket ? 1 : 0,
      contact.clockSkewMs,
    ]);
    this.#sql.exec(
      `INSERT OR REPLACE INTO contact (rank, at, progress, message, told_to_stop, news_at, news_progress, has_socket, clock_skew_ms)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM json_each(?)`,
      JSON.stringify(rows),
    );
  }

  saveResult(result: StoredResult, digest: JsonObject | null): void {
    const implausible = utf8Length(implausibleText(result.implausible) ?? "");
    this.resultCounter.add({ results: result.results?.length ?? 0, implausible });
    this.#sql.exec(
      "INSERT INTO result (rank, position, hash, version, results) VALUES (?, ?, ?, ?, ?)",
      result.rank,
      result.position,
      result.hash,
      result.version,
      result.results,
    );
    if (digest !== null) insertDigest(this.#sql, result, digest);
  }

  resultHash(rank: number, position: number): string | null {
    const query = "SELECT hash FROM result WHERE rank = ? AND position = ?";
    return this.#sql.exec<{ hash: string }>(query, rank, position).toArray()[0]?.hash ?? null;
  }

  digests(position: number): NodeDigest[] {
    return readDigests(this.#sql, position);
  }

  /** See `readImplausible`. */
  implausible(): ReturnType<typeof readImplausible> {
    return readImplausible(this.#sql);
  }

  /** Stores the inventory of a node; null removes it. */
  saveInventory(rank: number, inventory: Uint8Array | null): void {
    if (inventory === null) this.#sql.exec("DELETE FROM inventory WHERE rank = ?", rank);
    else
      this.#sql.exec(
        "INSERT OR REPLACE INTO inventory (rank, body) VALUES (?, ?)",
        rank,
        inventory,
      );
  }

  /** All bodies by rank: a node's results by position, then its inventory. */
  bodies(): StoredBody[] {
    return this.#sql
      .exec<{ rank: number; position: number; bytes: number }>(
        `SELECT rank, position, length(results) AS bytes, 0 AS last FROM result WHERE results IS NOT NULL
         UNION ALL SELECT rank, ${INVENTORY}, length(body), 1 FROM inventory ORDER BY rank, last, position`,
      )
      .toArray()
      .map(({ rank, position, bytes }) => ({ rank, position, bytes }));
  }

  /** The bytes of a body; null for a body that is no longer stored. */
  body({ rank, position }: StoredBody): Uint8Array | null {
    const cursor =
      position === INVENTORY
        ? this.#sql.exec<{ body: ArrayBuffer }>("SELECT body FROM inventory WHERE rank = ?", rank)
        : this.#sql.exec<{ body: ArrayBuffer }>(
            "SELECT results AS body FROM result WHERE rank = ? AND position = ? AND results IS NOT NULL",
            rank,
            position,
          );
    const body = cursor.toArray()[0]?.body;
    return body === undefined ? null : new Uint8Array(body);
  }

  /** The version of each node's latest change, by rank. */
  nodeVersions(): number[] {
    return this.#sql
      .exec<{ version: number }>("SELECT version FROM node ORDER BY rank")
      .toArray()
      .map(({ version }) => version);
  }

  /** In the order they run. */
  pendingStages(): PendingStage[] {
    return this.#sql
      .exec<Omit<PendingStage, "dueAt"> & { due_at: number }>("SELECT * FROM stage ORDER BY seq")
      .toArray()
      .map(({ due_at: dueAt, ...stage }) => ({ ...stage, dueAt }));
  }

  saveStage({ seq, name, failures, since, dueAt }: PendingStage): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO stage (seq, name, failures, since, due_at) VALUES (?, ?, ?, ?, ?)",
      seq,
      name,
      failures,
      since,
      dueAt,
    );
  }

  removeStage(seq: number): void {
    this.#sql.exec("DELETE FROM stage WHERE seq = ?", seq);
  }

  setHearingSince(ms: number): void {
    this.#sql.exec("UPDATE job SET hearing_since = ?", ms);
  }

  setFlushedVersion(version: number): void {
    this.#sql.exec("UPDATE job SET flushed_version = ? WHERE flushed_version < ?1", version);
  }
}

function bodyOf(job: Job): Omit<Job, "nodes" | "events"> {
  const { nodes: _nodes, events: _events, ...body } = job;
  return body;
}
