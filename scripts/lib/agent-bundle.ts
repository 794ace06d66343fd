/** How the agent becomes one file, for the Worker to serve and for tests to start. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildOptions } from "esbuild";
import { ROOT } from "./project.ts";

export const AGENT_BUNDLE = {
  absWorkingDir: ROOT,
  entryPoints: ["agent/src/main.ts"],
  bundle: true,
  platform: "node",
  format: "esm",
  // Users' machines have Node 20 or newer.
  target: "node20",
  // Packages in the older form ask for Node's own modules by `require`, which a module of the newer form lacks.
  banner: {
    js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
  },
  // Without these, ws would load native parts that it happens to find on the machine.
  define: {
    "process.env.WS_NO_BUFFER_UTIL": '"1"',
    "process.env.WS_NO_UTF_8_VALIDATE": '"1"',
  },
} satisfies BuildOptions;

/** The licence of ws asks to go with every copy. */
export function wsLicence(): string {
  return readFileSync(join(ROOT, "node_modules/ws/LICENSE"), "utf8").trim();
}
