import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from "miniflare";
import type { Bundle } from "./bundle.ts";
import { readMigrations } from "./migrations.ts";
import { ROOT } from "./project.ts";

/** The part of a D1 database used from outside the Worker. `prepare` blocks this process for a moment. */
export interface Database {
  prepare(sql: string): Statement;
  batch(statements: Statement[]): Promise<unknown>;
}

export interface Statement {
  bind(...values: unknown[]): Statement;
  all<Row>(): Promise<{ results: Row[] }>;
}

/** The Worker in workerd, without wrangler's development proxy in front of it. */
export interface LocalWorker {
  url: URL;
  /** Where it answers now: after workerd has died, once it runs again. */
  ready(): Promise<URL>;
  db: Database;
  /** The database anew: a workerd that was started again no longer knows the one above. */
  database(): Promise<Database>;
  /** Error lines that the Worker has logged, oldest first; at most the last 100. */
  errors: readonly string[];
  stop(): Promise<void>;
}

interface ProjectOptions {
  compatibilityDate: string;
  compatibilityFlags: string[];
  /** Plain text variables. */
  bindings: Record<string, string>;
  assets?: { directory: string };
  r2Buckets: Record<string, string>;
}

/** Worker options of this project's wrangler.toml, as Miniflare takes them. */
export async function projectWorkerOptions(bundle: Bundle, vars: Record<string, string>) {
  // Wrangler would warn of secrets that are set below.
  process.env.WRANGLER_LOG = "error";
  const { unstable_getMiniflareWorkerOptions } = await import("wrangler");
  const { workerOptions } = unstable_getMiniflareWorkerOptions(join(ROOT, "wrangler.toml"));
  // Its declared type leaves out what every Worker with a configuration file has.
  const { bindings, ...options } = workerOptions as unknown as ProjectOptions;
  return {
    ...options,
    name: "assay",
    modulesRoot: bundle.folder,
    modules: [{ type: "ESModule" as const, path: join(bundle.folder, bundle.main) }],
    bindings: {
      ...bindings,
      TOKEN_SECRET: randomBytes(36).toString("base64url"),
      REPORT_SIGNING_KEY: randomBytes(32).toString("base64url"),
      ...vars,
    },
  };
}

/**
 * Runs the built Worker on a free port of this machine, with an empty, migrated database. A workerd that
 * dies is started again.
 *
 * @param state folder in which it keeps its state; in memory without one
 */
export async function startLocalWorker(
  bundle: Bundle,
  vars: Record<string, string>,
  state?: string,
): Promise<LocalWorker> {
  const errors: string[] = [];
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [await projectWorkerOptions(bundle, vars)],
      host: "127.0.0.1",
      ...(state === undefined ? {} : { resourcePersistencePath: state }),
      cf: false,
      log: new NoOpLog(),
      handleStructuredLogs({ level, message }) {
        if (level === "error" || level === "warn") errors.push(message);
        if (errors.length > 100) errors.shift();
      },
    }),
  );
  try {
    const url = await miniflare.ready;
    const db: Database = await miniflare.getD1Database("DB");
    await migrate(db);
    return {
      url,
      ready: () => miniflare.ready,
      db,
      database: () => miniflare.getD1Database("DB"),
      errors,
      stop: () => miniflare.dispose(),
    };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}

/** Applies the project's migrations to an empty database. */
export async function migrate(db: Database): Promise<void> {
  const { unstable_splitSqlQuery } = await import("wrangler");
  for (const { sql } of readMigrations()) {
    await db.batch(unstable_splitSqlQuery(sql).map((statement) => db.prepare(statement)));
  }
}
