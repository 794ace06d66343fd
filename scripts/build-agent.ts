/** Builds the agent in one file, and the script that starts it: the Worker serves both. */
import { build } from "esbuild";
import { addonLicence, packAddons } from "./lib/addons.ts";
import { AGENT_BUNDLE, wsLicence } from "./lib/agent-bundle.ts";
import { AGENT_END, npmRegistry, renderBootstrap } from "./lib/bootstrap.ts";
import { publish } from "./lib/publish.ts";

/** Machines fetch the agent each time they join a job. */
const MAX_AGENT_BYTES = 800_000;

const { outputFiles } = await build({
  ...AGENT_BUNDLE,
  outfile: "public/agent.mjs",
  minify: true,
  logLevel: "warning",
  write: false,
  define: { ...AGENT_BUNDLE.define, ASSAY_ADDONS: JSON.stringify(packAddons()) },
  // The script that starts the agent knows a whole file by its end.
  footer: {
    js: `/*\nThis file contains koffi:\n\n${addonLicence()}\n\nThis file contains ws:\n\n${wsLicence()}\n*/\n${AGENT_END}`,
  },
});
for (const { contents } of outputFiles) {
  if (contents.length > MAX_AGENT_BYTES) {
    throw new Error(`the agent has ${contents.length} bytes; ${MAX_AGENT_BYTES} are allowed`);
  }
  publish("public/agent.mjs", contents);
}
publish("public/agent", Buffer.from(renderBootstrap(npmRegistry())));
