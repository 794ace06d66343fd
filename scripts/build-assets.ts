/** Builds what the Worker serves as static files: the agent in one file, and the docs page's assets. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "./lib/project.ts";

/** Leaves an unchanged file alone and never shows half of one: another server may be reading it. */
function publish(path: string, contents: Uint8Array): void {
  const target = join(ROOT, "public", path);
  if (existsSync(target) && readFileSync(target).equals(contents)) return;
  mkdirSync(dirname(target), { recursive: true });
  const draft = join(ROOT, ".wrangler", `${path.replaceAll("/", "-")}.${process.pid}`);
  mkdirSync(dirname(draft), { recursive: true });
  writeFileSync(draft, contents);
  renameSync(draft, target);
}

const { outputFiles } = await build({
  absWorkingDir: ROOT,
  entryPoints: ["agent/src/main.ts"],
  outfile: "public/agent.mjs",
  bundle: true,
  platform: "node",
  format: "esm",
  // Users' machines have Node 20 or newer.
  target: "node20",
  logLevel: "warning",
  write: false,
});
for (const file of outputFiles) publish("agent.mjs", file.contents);

publish("docs/readme.md", readFileSync(join(ROOT, "README.md")));

const swagger = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
for (const file of ["swagger-ui-bundle.js", "swagger-ui.css"]) {
  publish(join("docs", file), readFileSync(join(swagger, file)));
}
