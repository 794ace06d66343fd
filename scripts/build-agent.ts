/** Builds the agent in one file, and the script that starts it: the Worker serves both. */
import { build } from "esbuild";
import { addonLicence, packAddons } from "./lib/addons.ts";
import { AGENT_END, npmRegistry, renderBootstrap } from "./lib/bootstrap.ts";
import { ROOT } from "./lib/project.ts";
import { publish } from "./lib/publish.ts";

/** Machines fetch the agent each time they join a job. */
const MAX_AGENT_BYTES = 800_000;

const { outputFiles } = await build({
  absWorkingDir: ROOT,
  entryPoints: ["agent/src/main.ts"],
  outfile: "public/agent.mjs",
  bundle: true,
  minify: true,
  platform: "node",
  format: "esm",
  // Users' machines have Node 20 or newer.
  target: "node20",
  logLevel: "warning",
  write: false,
  define: { ASSAY_ADDONS: JSON.stringify(packAddons()) },
  // The script that starts the agent knows a whole file by its end.
  footer: { js: `/*\nThis file contains koffi:\n\n${addonLicence()}\n*/\n${AGENT_END}` },
});
for (const { contents } of outputFiles) {
  if (contents.length > MAX_AGENT_BYTES) {
    throw new Error(`the agent has ${contents.length} bytes; ${MAX_AGENT_BYTES} are allowed`);
  }
  publish("public/agent.mjs", contents);
}
publish("public/agent", Buffer.from(renderBootstrap(npmRegistry())));
