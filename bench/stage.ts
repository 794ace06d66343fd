/** The real bundle and its baselines, side by side in one workerd, each on a port of its own. */
import { join } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from "miniflare";
import type { Bundle } from "../scripts/lib/bundle.ts";
import { type Database, migrate, projectWorkerOptions } from "../scripts/lib/local-worker.ts";
import { ROOT } from "../scripts/lib/project.ts";
import { cpuMs, workerdProcesses } from "./cpu.ts";

/** Limits per caller would end a measurement; nodes that nobody polls would be lost in the middle of it. */
const VARS = { RATE_LIMIT_SCALE: "1000000", NODE_TIMEOUT_SECONDS: "86400" };

export interface Stage {
  /** Of the product. */
  url: URL;
  db: Database;
  /** Where a baseline answers, by the name it was given. */
  urlOf(name: string): Promise<URL>;
  /** CPU time that workerd has used, ms; null where the system does not say (only Linux does). */
  cpuMs(): number | null;
  /** Where a profiler can listen to the product; only when it was opened to inspect. */
  inspectorUrl(): Promise<URL>;
  stop(): Promise<void>;
}

export interface Baseline {
  name: string;
  /** File in `bench/baselines`, without its ending. */
  file: string;
  /** The classes of its objects, by binding. */
  objects?: Record<string, string>;
  /** The product's replies, by the route's name. */
  replies?: Record<string, string>;
}

export async function openStage(
  folder: string,
  bundle: Bundle,
  baselines: readonly Baseline[],
  {
    onLog = () => {},
    inspect = false,
    vars = {},
  }: {
    onLog?: (message: string) => void;
    /** Settings that differ from those of every stage. */
    vars?: Record<string, string>;
    /** Costs time by itself: log lines go to the inspector, too. */
    inspect?: boolean;
  } = {},
): Promise<Stage> {
  // Static files are answered before the Worker, on the platform too; those that it reads itself, as the fonts of
  // reports, come from the disk.
  const { assets, ...options } = await projectWorkerOptions(bundle, { ...VARS, ...vars });
  const path = assets?.directory ?? join(ROOT, "public");
  const product = { ...options, serviceBindings: { ASSETS: { disk: { path } } } };
  const socket = { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] };
  const { compatibilityDate, compatibilityFlags } = product;
  const { TOKEN_SECRET } = product.bindings;
  const { r2Buckets } = product;
  const others = baselines.map(async ({ name, file, objects = {}, replies = {} }) => ({
    name,
    compatibilityDate,
    compatibilityFlags,
    modulesRoot: folder,
    modules: [{ type: "ESModule" as const, path: await buildBaseline(folder, file) }],
    bindings: { TOKEN_SECRET, REPLIES: replies },
    serviceBindings: { PRODUCT: "assay" },
    d1Databases: { DB: "DB" },
    r2Buckets,
    durableObjects: Object.fromEntries(
      Object.entries(objects).map(([binding, className]) => [
        binding,
        { className, useSQLite: true },
      ]),
    ),
    ...socket,
  }));
  const before = new Set(workerdProcesses());
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [{ ...product, ...socket }, ...(await Promise.all(others))],
      host: "127.0.0.1",
      cf: false,
      ...(inspect ? { inspectorPort: 0, inspectorHost: "127.0.0.1" } : {}),
      log: new NoOpLog(),
      handleStructuredLogs: ({ message }) => onLog(message),
    }),
  );
  try {
    await miniflare.ready;
    const db: Database = await miniflare.getD1Database("DB", "assay");
    await migrate(db);
    const url = await miniflare.unsafeGetDirectURL("assay");
    const [pid] = workerdProcesses().filter((each) => !before.has(each));
    return {
      url,
      db,
      cpuMs: () => (pid === undefined ? null : cpuMs(pid)),
      urlOf: (name) => miniflare.unsafeGetDirectURL(name),
      inspectorUrl: () => miniflare.getInspectorURL(),
      stop: () => miniflare.dispose(),
    };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}

/**
 * Builds a file of `bench/baselines`.
 *
 * @param more options of the build; `name` of the built file, by default that of its source
 */
export async function buildBaseline(
  folder: string,
  file: string,
  { name = file, ...more }: Pick<BuildOptions, "define" | "plugins"> & { name?: string } = {},
): Promise<string> {
  const outfile = join(folder, `${name}.js`);
  await build({
    absWorkingDir: ROOT,
    entryPoints: [`bench/baselines/${file}.ts`],
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "warning",
    ...more,
  });
  return outfile;
}
