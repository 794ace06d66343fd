/**
 * `npm run clients`: makes clients of a running server's document with the generators of docs/guide/clients.md, compiles
 * them, and runs their first calls as that page shows them. Exits 1 if one of them fails. Generators come from the package
 * registries; one that cannot be installed here is skipped, and named.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createApiClient } from "./lib/api.ts";
import { type Generator, runnerIn } from "./lib/client-bench.ts";
import { firstCallOf, GENERATORS } from "./lib/client-generators.ts";
import { ROOT } from "./lib/project.ts";
import { findFreePort, startServer } from "./lib/server.ts";
import { stopSignal } from "./lib/stop-signal.ts";

/** Within the clone, where its packages are found. */
const PLACE = join(ROOT, ".wrangler", "clients");

/** A registry that cannot be reached, as its client says it. */
const OFFLINE =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|No matching distribution|No module named|Could not (?:resolve host|transfer artifact)/;

const { signal, exitCode } = stopSignal();
mkdirSync(PLACE, { recursive: true });
const place = mkdtempSync(join(PLACE, "run-"));
try {
  const server = await startServer(
    {
      port: await findFreePort(),
      ip: "127.0.0.1",
      state: join(place, "state"),
      secretsFile: join(place, ".dev.vars"),
      onOutput: () => {},
    },
    signal,
  );
  try {
    const { url, secrets } = server;
    const api = createApiClient(url, signal);
    await api.signIn(secrets.adminEmail, secrets.adminPassword);
    const { key } = await api.createUserKey({ name: "clients" });
    const only = process.argv.slice(2);
    const chosen = GENERATORS.filter(({ name }) => only.length === 0 || only.includes(name));
    for (const generator of chosen) {
      if (signal.aborted) break;
      await tryOut(generator, { url, token: key });
    }
  } finally {
    await server.stop();
  }
} finally {
  rmSync(place, { recursive: true, force: true });
  if (signal.aborted) process.exitCode = exitCode();
}

async function tryOut(generator: Generator, { url, token }: { url: string; token: string }) {
  const { name, program } = generator;
  const reason = generator.missing();
  if (reason !== null) return console.log(`skipped  ${name}: ${reason}`);
  const folder = join(place, name);
  mkdirSync(folder);
  // Without one of its own, npm would install into the clone.
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", private: true }));
  writeFileSync(join(folder, program), firstCallOf(name));
  try {
    const output = await generator.tryOut({ folder, url, token, run: runnerIn(folder, signal) });
    console.log(`ok       ${name}: ${output.trim().replaceAll("\n", ", ")}`);
  } catch (error) {
    if (signal.aborted) return;
    const words = error instanceof Error ? error.message : String(error);
    if (OFFLINE.test(words)) {
      return console.log(`skipped  ${name}: its package cannot be installed here`);
    }
    console.error(`FAILED   ${name}: ${words}`);
    process.exitCode = 1;
  }
}
