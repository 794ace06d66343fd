/** (d) What routes cost at the start: CPU time until the first reply, and the bundle, by their number. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "esbuild";
import { projectWorkerOptions } from "../../scripts/lib/local-worker.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { buildBaseline } from "../stage.ts";
import { firstReply, startUpCpuMs } from "../start-up.ts";
import type { Series } from "./report.ts";

const ROOMS = [1, 2, 3, 4];

/** Packages that the product loads with the few requests that need them: they are no part of a start. */
const LATER = ["any-ascii"];

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
  const name = `rooms-${rooms}`;
  const define = { ROOMS: String(rooms) };
  const plugins = [withoutLocales, withoutLater];
  const outfile = await buildBaseline(folder, "some-routes", { name, define, plugins });
  const bundle = { folder, main: basename(outfile), metafile: "" };
  const options = await projectWorkerOptions(bundle, {});
  const { assets: _assets, ...worker } = options;
  const made: Worker = worker;
  return { worker: made, gzipBytes: gzipSync(readFileSync(outfile), { level: 9 }).length };
}

function routeCount(worker: Worker): Promise<number> {
  return firstReply(worker, (text) => {
    const count = Number(text);
    if (!(count > 0)) throw new Error(`the routes could not be mounted: ${text}`);
    return count;
  });
}
