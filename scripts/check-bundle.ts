/**
 * Part of `npm run check`: what every request loads stays small. The production build's metafile says
 * what is in the bundle and what only a dynamic import reaches, which is left out. Its source map says
 * which minified text came from which file: a part's size is that text alone, compressed. Own code is
 * what comes from outside node_modules.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import type { Metafile } from "esbuild";
import { buildBundle } from "./lib/bundle.ts";
import { ROOT } from "./lib/project.ts";
import { textBySource } from "./lib/source-map.ts";

const KIB = 1_024;
const OWN = "own code";
const UNNAMED = "not named by the source map";
/** Packages that few requests need: a static import would make every request load them. */
const LAZY = ["any-ascii"];
const LIMITS = { total: 200 * KIB, own: 100 * KIB };

/** The files that are loaded with the entry point: reached without a dynamic import. */
function loadedAtOnce({ inputs }: Metafile, entry: string): Set<string> {
  const reached = new Set<string>();
  const queue = [entry];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const imported of inputs[path]?.imports ?? []) {
      if (imported.kind !== "dynamic-import" && imported.external !== true)
        queue.push(imported.path);
    }
  }
  return reached;
}

function packageOf(path: string): string {
  return /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? OWN;
}

interface Part {
  files: number;
  text: string;
}

async function measure(folder: string) {
  const bundle = await buildBundle(folder);
  const metafile: Metafile = JSON.parse(readFileSync(bundle.metafile, "utf8"));
  const output = readFileSync(join(folder, bundle.main), "utf8");
  const map = JSON.parse(readFileSync(join(folder, `${bundle.main}.map`), "utf8"));
  const eager = loadedAtOnce(metafile, "src/index.ts");
  const packages = new Map(
    Object.keys(metafile.inputs).map((path) => [packageOf(path), false] as [string, boolean]),
  );
  for (const path of eager) packages.set(packageOf(path), true);
  const parts = new Map<string, Part>();
  let lazy = 0;
  let total = "";
  for (const [source, text] of textBySource(output, map)) {
    const path = relative(ROOT, resolve(folder, source));
    const packageName = source === "" ? UNNAMED : packageOf(path);
    // Some packages come with source maps of their own, to files that the bundler never saw.
    const name = packages.has(packageName) ? packageName : UNNAMED;
    const loaded = name === OWN ? eager.has(path) : packages.get(name) !== false;
    if (!loaded) {
      lazy += text.length;
      continue;
    }
    const part = parts.get(name) ?? { files: 0, text: "" };
    parts.set(name, { files: part.files + 1, text: part.text + text });
    total += text;
  }
  const locales = [...eager].filter((path) => /zod\/.*locales\/(?!en\.)/.test(path));
  const early = LAZY.filter((name) => packages.get(name) !== false);
  return { parts, total, lazy, locales, early, whole: output };
}

const gzip = (text: string) => gzipSync(text, { level: 9 }).length;
const kib = (bytes: number) => (bytes / KIB).toFixed(1);

const folder = mkdtempSync(join(tmpdir(), "assay-bundle-"));
try {
  const { parts, total, lazy, locales, early, whole } = await measure(folder);
  // With nothing left out, the file itself is the answer.
  const totalBytes = gzip(lazy === 0 ? whole : total);
  const ownBytes = gzip(parts.get(OWN)?.text ?? "");
  const row = (name: string, files: string | number, minified: string, zipped: string) =>
    console.log(
      `${name.padEnd(32)}${String(files).padStart(6)}${minified.padStart(10)}${zipped.padStart(8)}`,
    );
  row("loaded by every request", "files", "minified", "gzip");
  for (const [name, { files, text }] of [...parts].sort(
    (a, b) => gzip(b[1].text) - gzip(a[1].text),
  )) {
    row(name, files, kib(Buffer.byteLength(text)), kib(gzip(text)));
  }
  row("all together", "", kib(Buffer.byteLength(total)), kib(totalBytes));
  console.log(`KiB; limits: ${kib(LIMITS.total)} gzip together, ${kib(LIMITS.own)} of it own code`);
  if (lazy > 0) console.log(`${kib(lazy)} KiB minified are loaded only when needed`);

  const faults = [
    ...(totalBytes > LIMITS.total ? [`together ${kib(totalBytes)} KiB gzip`] : []),
    ...(ownBytes > LIMITS.own ? [`own code ${kib(ownBytes)} KiB gzip`] : []),
    ...early.map((name) => `${name} is loaded by every request, or not in the bundle at all`),
    ...locales.map(
      (path) => `a locale of zod is in the bundle: ${path}; see [alias] in wrangler.toml`,
    ),
  ];
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
