/** Builds the command line in one file, and the script that installs it: the Worker serves both. */
import { build } from "esbuild";
import { npmRegistry } from "./lib/bootstrap.ts";
import { CLI_BUNDLE, CLI_END, cliLicences } from "./lib/cli-bundle.ts";
import { renderInstaller } from "./lib/cli-installer.ts";
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
publish("public/cli.sh", Buffer.from(renderInstaller(npmRegistry())));
