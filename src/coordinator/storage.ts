import type { JsonObject } from "../benchmarks/benchmark.ts";
import type { SequenceStep } from "../benchmarks/sequence.ts";
import type { Job, JobEvent, Node } from "./model.ts";

/** What the object needs to know of its job that never changes. Read from D1 when it takes the job over. */
export interface JobIdentity {
  jobId: number;
  name: string;
  sequence: readonly SequenceStep[];
  /** Peers of a cluster step prove themselves with it (hex). */
  peerKey: string;
}

/** The latest sign of life of a node, and what it said of its step. Not part of the job's version. */
export interface Contact {
  at: number;
  progress: number;
  message: string | null;
  /** Whether its agent has heard that there is nothing more to do. */
  toldToStop: boolean;
}

export interface StoredResult {
  rank: number;
  position: number;
  /** Of the request body: tells a repeat from another result. */
  hash: string;
  /** JSON, or null for a failed step without figures. */
  results: string | null;
  version: number;
}

/** A stage of the aftermath that has not succeeded yet. */
export interface PendingStage {
  /** Its turn. */
  seq: number;
  name: string;
  failures: number;
  /** When the job settled, ms. */
  since: number;
  /** When to try again, ms. */
  dueAt: number;
}

/** A job in the object's memory; `job` and `flushedVersion` follow what is on disk. */
export interface Live {
  readonly identity: JobIdentity;
  job: Job;
  /** The job's version that D1 has acknowledged; behind `job.version` while a flush is pending. */
  flushedVersion: number;
  /** Before this time, ms, nobody could have been heard: the server was away. 0 for always. */
  hearingSince: number;
}

/**
 * Each entry brings the storage from the version of its index to the next. Never edit one that has
 * been released: objects live for days and move forward step by step.
 */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE job (id INTEGER PRIMARY KEY CHECK (id = 1), identity TEXT NOT NULL, body TEXT NOT NULL, flushed_version INTEGER NOT NULL) STRICT;
   CREATE TABLE node (rank INTEGER PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
   CREATE TABLE contact (rank INTEGER PRIMARY KEY, at INTEGER NOT NULL, progress REAL NOT NULL, message TEXT) STRICT;
   CREATE TABLE result (rank INTEGER NOT NULL, position INTEGER NOT NULL, hash TEXT NOT NULL, version INTEGER NOT NULL, results TEXT, digest TEXT, PRIMARY KEY (rank, position)) STRICT, WITHOUT ROWID;
   CREATE TABLE event (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;`,
  // Digests on their own: behind results of up to a MiB, reading one walks all pages of the other.
  `CREATE TABLE digest (position INTEGER NOT NULL, rank INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (position, rank)) STRICT, WITHOUT ROWID;
   INSERT INTO digest (position, rank, body) SELECT position, rank, digest FROM result WHERE digest IS NOT NULL;
   ALTER TABLE result DROP COLUMN digest;`,
  "ALTER TABLE contact ADD COLUMN told_to_stop INTEGER NOT NULL DEFAULT 0",
  "ALTER TABLE job ADD COLUMN hearing_since INTEGER NOT NULL DEFAULT 0",
  "CREATE TABLE stage (seq INTEGER PRIMARY KEY, name TEXT NOT NULL, failures INTEGER NOT NULL, since INTEGER NOT NULL, due_at INTEGER NOT NULL) STRICT",
];

/**
 * The object's SQLite. Every method is synchronous, so that a caller can write state, results and
 * alarm in one block without an `await`, which the platform commits as one (design §3.2).
 */
export class CoordinatorStorage {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
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

  /** A job that is taken over; also where everything has been deleted, see `forget`. */
  create(live: Live): void {
    this.#migrate();
    this.#sql.exec(
      "INSERT INTO job (id, identity, body, flushed_version) VALUES (1, ?, ?, ?)",
      JSON.stringify(live.identity),
      JSON.stringify(bodyOf(live.job)),
      live.flushedVersion,
    );
    this.#saveEvents(live.job.events, 0);
  }

  /** Writes what differs between two states of the job, and nothing else. */
  saveChanges(before: Job, after: Job): void {
    this.#sql.exec("UPDATE job SET body = ?", JSON.stringify(bodyOf(after)));
    for (const node of after.nodes) {
      if (before.nodes[node.rank] === node) continue;
      this.#sql.exec(
        "INSERT OR REPLACE INTO node (rank, version, body) VALUES (?, ?, ?)",
        node.rank,
        after.version,
        JSON.stringify(node),
      );
    }
    this.#saveEvents(after.events, before.events.length);
  }

  /** Those from a place in the list on: events are only ever added. */
  #saveEvents(events: readonly JobEvent[], from: number): void {
    for (const [offset, event] of events.slice(from).entries()) {
      const insert = "INSERT INTO event (seq, body) VALUES (?, ?)";
      this.#sql.exec(insert, from + offset, JSON.stringify(event));
    }
  }

  /** By rank. */
  contacts(): Contact[] {
    return this.#sql
      .exec<{ at: number; progress: number; message: string | null; told_to_stop: number }>(
        "SELECT at, progress, message, told_to_stop FROM contact ORDER BY rank",
      )
      .toArray()
      .map(({ told_to_stop, ...contact }) => ({ ...contact, toldToStop: told_to_stop === 1 }));
  }

  saveContact(rank: number, contact: Contact): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO contact (rank, at, progress, message, told_to_stop) VALUES (?, ?, ?, ?, ?)",
      rank,
      contact.at,
      contact.progress,
      contact.message,
      contact.toldToStop ? 1 : 0,
    );
  }

  saveResult(result: StoredResult, digest: JsonObject | null): void {
    this.#sql.exec(
      "INSERT INTO result (rank, position, hash, version, results) VALUES (?, ?, ?, ?, ?)",
      result.rank,
      result.position,
      result.hash,
      result.version,
      result.results,
    );
    if (digest === null) return;
    this.#sql.exec(
      "INSERT INTO digest (position, rank, body) VALUES (?, ?, ?)",
      result.position,
      result.rank,
      JSON.stringify(digest),
    );
  }

  resultHash(rank: number, position: number): string | null {
    const query = "SELECT hash FROM result WHERE rank = ? AND position = ?";
    return this.#sql.exec<{ hash: string }>(query, rank, position).toArray()[0]?.hash ?? null;
  }

  /** Bytes of all results together: a job may hold 16 MiB (contract §2). */
  resultBytes(): number {
    const query = "SELECT coalesce(sum(octet_length(results)), 0) AS bytes FROM result";
    return this.#sql.exec<{ bytes: number }>(query).one().bytes;
  }

  digests(position: number): { rank: number; digest: JsonObject }[] {
    const query = "SELECT rank, body FROM digest WHERE position = ? ORDER BY rank";
    return this.#sql
      .exec<{ rank: number; body: string }>(query, position)
      .toArray()
      .map(({ rank, body }) => ({ rank, digest: JSON.parse(body) }));
  }

  /** Results with figures that were stored after a version of the job, by rank and position. */
  results(newerThan: number): { rank: number; position: number; results: string }[] {
    return this.#sql
      .exec<{ rank: number; position: number; results: string }>(
        "SELECT rank, position, results FROM result WHERE results IS NOT NULL AND version > ? ORDER BY rank, position",
        newerThan,
      )
      .toArray();
  }

  /** Results with figures of one node, by position. */
  resultsOf(rank: number): { position: number; results: string }[] {
    return this.#sql
      .exec<{ position: number; results: string }>(
        "SELECT position, results FROM result WHERE rank = ? AND results IS NOT NULL ORDER BY position",
        rank,
      )
      .toArray();
  }

  /** Version at which each node last changed, by rank. */
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
      ...[seq, name, failures, since, dueAt],
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
