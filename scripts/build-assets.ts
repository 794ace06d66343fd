/** Builds what the Worker serves as static files: the agent in one file, the script that starts it, the docs page's assets. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";
import { addonLicence, packAddons } from "./lib/addons.ts";
import { AGENT_BUNDLE, wsLicence } from "./lib/agent-bundle.ts";
import { AGENT_END, npmRegistry, renderBootstrap } from "./lib/bootstrap.ts";
import { ROOT } from "./lib/project.ts";
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

/** The pages beside the README lie in one folder when they are served; their links follow. */
function publishPage(path: string, links: Readonly<Record<string, string>>): void {
  const text = Object.entries(links).reduce(
    (page, [from, to]) => page.replaceAll(`](${from}`, `](${to}`),
    readFileSync(join(ROOT, path), "utf8"),
  );
  publish(join("public/docs", basename(path).toLowerCase()), Buffer.from(text));
}

publishPage("README.md", { "docs/": "", "openapi.json": "/openapi.json" });
for (const file of readdirSync(join(ROOT, "docs"))) {
  if (file.endsWith(".md")) publishPage(join("docs", file), { "../README.md": "readme.md" });
  else publish(join("public/docs", file), readFileSync(join(ROOT, "docs", file)));
}

const swagger = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
for (const file of ["swagger-ui-bundle.js", "swagger-ui.css"]) {
  publish(join("public/docs", file), readFileSync(join(swagger, file)));
}
