/** Builds the console: one part that every visit needs, and parts that come with the first visit of their pages. */
import { basename } from "node:path";
import { build } from "esbuild";
import { ROOT } from "./project.ts";

/**
 * @param publishAsset publishes a file under a name with a hash; answers its address
 * @returns what stands in the place of names in braces in `console/index.html`
 */
export async function publishConsole(
  publishAsset: (name: string, contents: Uint8Array) => string,
): Promise<{ "console.js": string; "console.css": string; preloads: string }> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: { console: "console/main.tsx" },
    outdir: "public/assets",
    entryNames: "[name]-[hash]",
    chunkNames: "console-[name]-[hash]",
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    metafile: true,
    write: false,
    logLevel: "warning",
  });
  for (const { path, contents } of outputFiles) publishAsset(basename(path), contents);
  const main = Object.entries(metafile.outputs).find(
    ([, { entryPoint }]) => entryPoint === "console/main.tsx",
  );
  if (main === undefined || main[1].cssBundle === undefined) {
    throw new Error("console/main.tsx made no script or no style");
  }
  const address = (path: string) => `/assets/${basename(path)}`;
  const [script, { imports, cssBundle }] = main;
  const first = imports.filter(({ kind }) => kind === "import-statement");
  return {
    "console.js": address(script),
    "console.css": address(cssBundle),
    preloads: first
      .map(({ path }) => `<link rel="modulepreload" href="${address(path)}">`)
      .join("\n    "),
  };
}
