/**
 * The product and the counted Worker beside each other on one database and bucket: what the one is timed at, the other
 * counts. A counted Worker repeats reads to learn their cost, so its own times say nothing.
 */
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from "miniflare";
import type { Bundle } from "../../scripts/lib/bundle.ts";
import { type Database, migrate, projectWorkerOptions } from "../../scripts/lib/local-worker.ts";
import { buildBaseline } from "../stage.ts";

const VARS = {
  RATE_LIMIT_SCALE: "1000000",
  NODE_TIMEOUT_SECONDS: "86400",
  CUSTOMER_JOBS_PER_DAY: "none",
  // The same for both, so that either knows the other's tokens.
  TOKEN_SECRET: "a-secret-of-the-bench-of-more-than-32-characters",
};

export interface TwinStage {
  /** Of the product. */
  url: URL;
  /** Of the counted Worker. */
  countedUrl: URL;
  db: Database;
  stop(): Promise<void>;
}

export async function openTwinStage(folder: string, bundle: Bundle): Promise<TwinStage> {
  const main = (await buildBaseline(folder, "counted-worker")).slice(folder.length + 1);
  const counted = { folder, main, metafile: "" };
  const socket = { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] };
  const options = async (from: Bundle) => {
    const { assets: _assets, ...worker } = await projectWorkerOptions(from, VARS);
    return { ...worker, ...socket };
  };
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [await options(bundle), { ...(await options(counted)), name: "counted" }],
      host: "127.0.0.1",
      cf: false,
      log: new NoOpLog(),
      handleStructuredLogs: () => {},
    }),
  );
  try {
    await miniflare.ready;
    const db: Database = await miniflare.getD1Database("DB", "assay");
    await migrate(db);
    return {
      url: await miniflare.unsafeGetDirectURL("assay"),
      countedUrl: await miniflare.unsafeGetDirectURL("counted"),
      db,
      stop: () => miniflare.dispose(),
    };
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
}
