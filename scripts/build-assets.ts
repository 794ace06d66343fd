/** Builds what the Worker serves as static files: the agent in one file, and the docs page's assets. */
import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

await build({
  absWorkingDir: root,
  entryPoints: ["agent/src/main.ts"],
  outfile: "public/agent.mjs",
  bundle: true,
  platform: "node",
  format: "esm",
  // Users' machines have Node 20 or newer.
  target: "node20",
  logLevel: "warning",
});

const swagger = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
mkdirSync(join(root, "public/docs"), { recursive: true });
for (const file of ["swagger-ui-bundle.js", "swagger-ui.css"]) {
  copyFileSync(join(swagger, file), join(root, "public/docs", file));
}
