/**
 * Writes the API document that the contracts of the routes make. With --build: the one that the Worker serves,
 * `public/openapi.json`, and the types of clients, `public/client.d.ts`, which the tests' client takes, too. Without: the released one,
 * `openapi.json`. With --check it writes nothing, and fails when the released one says something else.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { apiDocument, RELEASED_SERVERS, SERVED_SERVERS } from "../src/api/document.ts";
import { describedRoutes } from "../src/app.ts";
import { systemClock } from "../src/lib/clock.ts";
import { readConfig } from "../src/lib/config.ts";
import { publish } from "./lib/publish.ts";

const ROOT = join(import.meta.dirname, "..");

/** Routes are described, never called: nothing of this is ever asked for. */
const routes = await describedRoutes({
  d1: unused("a database"),
  bucket: unused("a bucket"),
  assets: unused("static files"),
  coordinators: unused("the jobs' objects"),
  lobbies: unused("the runners' lobbies"),
  rateLimitCounters: unused("rate limits"),
  config: readConfig({
    TOKEN_SECRET: randomBytes(36).toString("base64url"),
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

if (process.argv.includes("--build")) {
  await build();
} else {
  const released = `${JSON.stringify(apiDocument(routes, RELEASED_SERVERS), null, 2)}\n`;
  const target = join(ROOT, "openapi.json");
  if (!process.argv.includes("--check")) {
    writeFileSync(target, released);
  } else if (!existsSync(target) || readFileSync(target, "utf8") !== released) {
    console.error("openapi.json differs from the contracts: run npm run openapi and commit it");
    process.exitCode = 1;
  }
}

async function build(): Promise<void> {
  const served = Buffer.from(JSON.stringify(apiDocument(routes, SERVED_SERVERS)));
  const document = "public/openapi.json";
  const types = ["public/client.d.ts", "test/e2e/api-types.ts"];
  const isUnchanged = [document, ...types].every((path) => existsSync(join(ROOT, path)));
  if (isUnchanged && readFileSync(join(ROOT, document)).equals(served)) return;
  // Loads a compiler: only for a document that has changed.
  const { default: openapiTS, astToString, COMMENT_HEADER } = await import("openapi-typescript");
  const text = `${COMMENT_HEADER}${astToString(await openapiTS(served))}`;
  for (const path of types) publish(path, Buffer.from(text));
  // Last: it stands for all of them.
  publish(document, served);
}
