import { fileURLToPath } from "node:url";
import { type Supervised, spawnSupervised } from "./supervised.ts";

/** The folder of the clone. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export const WRANGLER = fileURLToPath(
  new URL("../../node_modules/wrangler/bin/wrangler.js", import.meta.url),
);

/** Makes wrangler work without network or account, and say nothing of its own. */
const OFFLINE = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  // Both answer anyone who reaches the port, the explorer with SQL.
  X_LOCAL_EXPLORER: "false",
  X_LOCAL_OBSERVABILITY: "false",
  // Logs belong to the terminal, not into the user's home folder.
  WRANGLER_WRITE_LOGS: "false",
};

/** Starts wrangler; see `spawnSupervised`. */
export function spawnWrangler(args: readonly string[], options: { offline: boolean }): Supervised {
  const env = { ...process.env, ...(options.offline ? OFFLINE : {}) };
  // Wherever this program was started: wrangler finds its configuration there.
  return spawnSupervised([process.execPath, WRANGLER, ...args], env, ROOT);
}

/** Runs wrangler to its end; answers what it printed, throws it when it failed. */
export async function runWrangler(
  args: readonly string[],
  options: { offline: boolean },
): Promise<string> {
  const child = spawnWrangler(args, options);
  let output = "";
  child.onOutput((text) => {
    output += text;
  });
  const code = await child.exitCode;
  if (code !== 0) throw new Error(`wrangler ${args.slice(0, 3).join(" ")} failed:\n${output}`);
  return output;
}
