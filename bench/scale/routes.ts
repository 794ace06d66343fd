/** (d) What routes cost at the start: CPU time until the first reply, and the bundle, by their number. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from "miniflare";
import { projectWorkerOptions } from "../../scripts/lib/local-worker.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { startUpCpuMs } from "../start-up.ts";
import type { Series } from "./report.ts";

const ROOMS = [1, 2, 3, 4];

/** Packages that the product loads with the few requests that need them: they are no part of a start. */
const LATER = ["@cantoo/fontkit", "@cantoo/pdf-lib", "any-ascii"];

/** As `[alias]` in wrangler.toml. */
const withoutLocales: Plugin = {
  name: "without-locales",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.\/locales\/index\.js$/ }, () => ({
      path: join(ROOT, "src/lib/zod-locales.ts"),
    }));
  },
};

const withoutLater: Plugin = {
  name: "without-later",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[@a-z]/ }, ({ path }) =>
      LATER.includes(path) ? { path, namespace: "later" } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "later" }, () => ({ contents: "module.exports = {}" }));
  },
};

export async function measureRoutes(folder: string): Promise<Series[]> {
  const cpu: Series["points"] = [];
  const bytes: Series["points"] = [];
  for (const rooms of ROOMS) {
    const { worker, gzipBytes } = await buildRooms(folder, rooms);
    const n = await routeCount(worker);
    bytes.push({ n, cost: gzipBytes });
    const ms = await startUpCpuMs(worker);
    if (ms !== null) cpu.push({ n, cost: ms });
  }
  return [
    { name: "bundle", unit: "bytes gzip", work: "linear", isExact: true, points: bytes },
    { name: "start-up CPU", unit: "ms", work: "linear", isExact: false, points: cpu },
  ];
}

type Worker = Parameters<typeof startUpCpuMs>[0];

async function buildRooms(folder: string, rooms: number) {
  const name = `rooms-${rooms}.js`;
  const outfile = join(folder, name);
  await build({
    absWorkingDir: ROOT,
    entryPoints: ["bench/baselines/some-routes.ts"],
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    define: { ROOMS: String(rooms) },
    external: ["cloudflare:*", "node:*"],
    plugins: [withoutLocales, withoutLater],
    logLevel: "warning",
  });
  const options = await projectWorkerOptions({ folder, main: name, metafile: "" }, {});
  const { assets: _assets, ...worker } = options;
  const made: Worker = worker;
  return { worker: made, gzipBytes: gzipSync(readFileSync(outfile), { level: 9 }).length };
}

async function routeCount(worker: Worker): Promise<number> {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [worker],
      host: "127.0.0.1",
      cf: false,
      log: new NoOpLog(),
      handleStructuredLogs: () => {},
    }),
  );
  try {
    const text = await (await fetch(await miniflare.ready)).text();
    const count = Number(text);
    if (!(count > 0)) throw new Error(`the routes could not be mounted: ${text}`);
    return count;
  } finally {
    await miniflare.dispose();
  }
}
