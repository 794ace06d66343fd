import type { Database } from "../../scripts/lib/local-worker.ts";
import type { Job, World } from "./world.ts";

const LOG = "fuzz_writes";

/** Tables that a refused request may write to; `list_counts` follows the rows of other tables. */
const OF_REFUSALS: ReadonlySet<string> = new Set([
  "audit_events",
  "sign_in_failures",
  "list_counts",
]);

/**
 * Detects writes of refused requests. Triggers count all writes to D1 tables, even those that change no
 * value. The owner's view shows changes in a job's object. Full-text indexes allow no triggers, but are
 * written only by the triggers of their own tables.
 */
export class StateWatch {
  readonly #world: World;
  /** Prepared once, because Miniflare's proxy blocks this process for every `prepare`. */
  readonly #writes: ReturnType<Database["prepare"]>;
  #last: { job: Job | null; state: State } | null = null;

  private constructor(db: Database, world: World) {
    this.#world = world;
    this.#writes = db.prepare(`SELECT what, writes FROM ${LOG}`);
  }

  static async create(db: Database, world: World): Promise<StateWatch> {
    const { results: tables } = await db
      .prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'",
      )
      .all<{ name: string }>();
    const statements = [`CREATE TABLE ${LOG} (what TEXT PRIMARY KEY, writes INTEGER NOT NULL)`];
    for (const { name } of tables) {
      if (OF_REFUSALS.has(name)) continue;
      for (const event of ["INSERT", "UPDATE", "DELETE"]) {
        statements.push(
          `CREATE TRIGGER "${LOG}_${event}_${name}" AFTER ${event} ON "${name}" BEGIN
             INSERT INTO ${LOG} (what, writes) VALUES ('${event} ${name}', 1)
             ON CONFLICT DO UPDATE SET writes = writes + 1;
           END`,
        );
      }
    }
    await db.batch(statements.map((statement) => db.prepare(statement)));
    return new StateWatch(db, world);
  }

  /** Records the state; call it before a request that may be refused. */
  async look(job: Job | null): Promise<void> {
    if (this.#last !== null && this.#last.job === job) return;
    await this.#world.settle();
    this.#last = { job, state: await this.#read(job) };
  }

  /** Describes the change that a refused request made since `look`; null without one. */
  async changeSince(): Promise<string | null> {
    if (this.#last === null) throw new Error("Nothing was looked at");
    const { job, state: before } = this.#last;
    const after = await this.#read(job);
    this.#last = { job, state: after };
    const writes = Object.entries(after.writes)
      .filter(([what, count]) => before.writes[what] !== count)
      .map(([what]) => what);
    if (writes.length > 0) return `a refused request has written to D1: ${writes.join(", ")}`;
    if (before.view === after.view) return null;
    return `a refused request has changed what the owner sees, from\n${before.view}\nto\n${after.view}`;
  }

  /** Forgets the recorded state after a request that may change it. */
  expectChange(job: Job | null): void {
    this.#last = null;
    this.#world.changed(job);
  }

  async #read(job: Job | null): Promise<State> {
    const view = job === null ? "" : await this.#world.viewOf(job);
    const { results } = await this.#writes.all<{ what: string; writes: number }>();
    return { view, writes: Object.fromEntries(results.map((row) => [row.what, row.writes])) };
  }
}

interface State {
  view: string;
  /** Event and table → number of writes. */
  writes: Record<string, number>;
}
