/** How the command line becomes one file, for the Worker to serve and for tests to start. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildOptions, Plugin } from "esbuild";
import { ROOT } from "./project.ts";

/** Last line of `assay.mjs`, by which the script that installs it knows a whole file. */
export const CLI_END = "// The end of assay.mjs.";

/** Loads Node's own modules with the parts that need them, instead of all at the start: they are most of its time. */
const LAZY_BUILTINS: Plugin = {
  name: "lazy-builtins",
  setup(build) {
    const namespace = "builtin";
    build.onResolve({ filter: /^node:/ }, ({ path, namespace: importer }) =>
      importer === namespace ? { path, external: true } : { path, namespace },
    );
    build.onLoad({ filter: /.*/, namespace }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
    }));
  },
};

export const CLI_BUNDLE = {
  absWorkingDir: ROOT,
  entryPoints: ["cli/src/main.ts"],
  outfile: "public/assay.mjs",
  bundle: true,
  minify: true,
  platform: "node",
  format: "esm",
  // Users' machines have Node 20 or newer.
  target: "node20",
  // commander is in the older form of packages, which ask for Node's own modules by `require`.
  banner: {
    js: '#!/usr/bin/env node\nimport { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
  },
  // The package of types answers commander's own classes, and would make a program of its own at the start.
  alias: { "@commander-js/extra-typings": "commander" },
  plugins: [LAZY_BUILTINS],
  write: false,
  logLevel: "warning",
} satisfies BuildOptions;

/** The licences of the packages within, which ask to go with every copy. */
export function cliLicences(): string {
  const packages = { commander: "LICENSE", "openapi-fetch": "LICENSE" };
  return Object.entries(packages)
    .map(([name, file]) => {
      const licence = readFileSync(join(ROOT, "node_modules", name, file), "utf8").trim();
      return `This file contains ${name}:\n\n${licence}`;
    })
    .join("\n\n");
}
