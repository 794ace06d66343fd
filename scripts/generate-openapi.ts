/**
 * Writes openapi.json, the released API document, from the contracts of the routes that the Worker
 * serves. With --check it writes nothing, and fails when the committed file says something else.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createApp } from "../src/app.ts";
import { systemClock } from "../src/lib/clock.ts";
import { readConfig } from "../src/lib/config.ts";
import { apiDocument, RELEASED_SERVERS } from "../src/openapi.ts";

/** Routes are only described, never called: nothing of this is ever asked for. */
const app = await createApp({
  d1: unused("a database"),
  coordinators: unused("the jobs' objects"),
  config: readConfig({ TOKEN_SECRET: "x".repeat(32), NODE_TIMEOUT_SECONDS: "60" }),
  clock: systemClock,
});

function unused<Binding extends object>(what: string): Binding {
  const fail = () => {
    throw new Error(`The API document needs ${what}: it must be described without`);
  };
  // Stands for a binding of any type, since none of its members can be reached.
  return new Proxy({}, { get: fail }) as Binding;
}

const target = join(import.meta.dirname, "..", "openapi.json");
const text = `${JSON.stringify(apiDocument(app, RELEASED_SERVERS), null, 2)}\n`;
if (!process.argv.includes("--check")) {
  writeFileSync(target, text);
} else if (!existsSync(target) || readFileSync(target, "utf8") !== text) {
  console.error("openapi.json is not what the contracts say: run npm run openapi and commit it");
  process.exitCode = 1;
}
