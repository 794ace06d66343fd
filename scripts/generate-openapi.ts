/**
 * Writes openapi.json, the released API document, from the contracts of the routes that the Worker
 * serves, and the types that a client makes of it. With --check it writes nothing, and fails when a
 * committed file says something else.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import openapiTS, { astToString, COMMENT_HEADER } from "openapi-typescript";
import { createApp } from "../src/app.ts";
import { systemClock } from "../src/lib/clock.ts";
import { readConfig } from "../src/lib/config.ts";
import { apiDocument, RELEASED_SERVERS } from "../src/openapi.ts";

/** Routes are only described, never called: nothing of this is ever asked for. */
const app = await createApp({
  d1: unused("a database"),
  bucket: unused("a bucket"),
  coordinators: unused("the jobs' objects"),
  rateLimitCounters: unused("rate limits"),
  config: readConfig({
    TOKEN_SECRET: "x".repeat(32),
    NODE_TIMEOUT_SECONDS: "60",
    RATE_LIMIT_SCALE: "1",
    ENVIRONMENT: "production",
  }),
  clock: systemClock,
});

function unused<Binding extends object>(what: string): Binding {
  const fail = () => {
    throw new Error(`The API document needs ${what}: it must be described without`);
  };
  // Stands for a binding of any type, since none of its members can be reached.
  return new Proxy({}, { get: fail }) as Binding;
}

const document = apiDocument(app, RELEASED_SERVERS);
// As every client reads it: JSON.
const text = `${JSON.stringify(document, null, 2)}\n`;
const generated = {
  "openapi.json": text,
  "test/e2e/api-types.ts": `${COMMENT_HEADER}${astToString(await openapiTS(text))}`,
};
for (const [path, contents] of Object.entries(generated)) {
  const target = join(import.meta.dirname, "..", path);
  if (!process.argv.includes("--check")) {
    writeFileSync(target, contents);
  } else if (!existsSync(target) || readFileSync(target, "utf8") !== contents) {
    console.error(`${path} is not what the contracts say: run npm run openapi and commit it`);
    process.exitCode = 1;
  }
}
