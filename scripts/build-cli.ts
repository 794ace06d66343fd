/** Builds the command line in one file, which the Worker serves. */
import { build } from "esbuild";
import { CLI_BUNDLE, CLI_END, cliLicences } from "./lib/cli-bundle.ts";
import { publish } from "./lib/publish.ts";

const MAX_CLI_BYTES = 400_000;

const { outputFiles } = await build({
  ...CLI_BUNDLE,
  footer: { js: `/*\n${cliLicences()}\n*/\n${CLI_END}` },
});
for (const { contents } of outputFiles) {
  if (contents.length > MAX_CLI_BYTES) {
    throw new Error(`the command line has ${contents.length} bytes; ${MAX_CLI_BYTES} are allowed`);
  }
  publish("public/assay.mjs", contents);
}
