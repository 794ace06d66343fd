/**
 * Part of `npm run check`: the released API document is what the contracts say, has no shape that client generators
 * misread, and no linter finds anything in it, not even a hint. Works without a network.
 */
import { join } from "node:path";
import { ROOT } from "./lib/project.ts";
import { spawnSupervised } from "./lib/supervised.ts";

const DOCUMENT = "openapi.json";
const installed = (path: string) => join(ROOT, "node_modules", path);

const CHECKS = [
  {
    name: "openapi.json is up to date",
    command: [join(ROOT, "scripts/generate-openapi.ts"), "--check"],
  },
  {
    name: "no shapes that mislead client generators",
    command: [join(ROOT, "scripts/check-clients.ts")],
  },
  {
    // Every rule of the strict ruleset is an error; there are no warnings to overlook.
    name: "Redocly, recommended-strict",
    command: [installed("@redocly/cli/bin/cli.js"), "lint", DOCUMENT],
  },
  {
    name: "Spectral, spectral:oas and the OWASP rules",
    command: [
      installed("@stoplight/spectral-cli/dist/index.js"),
      "lint",
      DOCUMENT,
      "--fail-severity=hint",
    ],
  },
];

/** Keeps the linters from calling home. */
const OFFLINE = { REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };

// The linters look for their configuration where they are started.
process.chdir(ROOT);
const outcomes = await Promise.all(
  CHECKS.map(async ({ name, command }) => {
    const child = spawnSupervised([process.execPath, ...command], { ...process.env, ...OFFLINE });
    let output = "";
    child.onOutput((text) => {
      output += text;
    });
    const code = await child.exitCode;
    return { name, output, code };
  }),
);
for (const { name, output, code } of outcomes) {
  console.log(`${code === 0 ? "ok    " : "FAILED"} ${name}`);
  if (code !== 0) {
    console.error(output);
    process.exitCode = 1;
  }
}
