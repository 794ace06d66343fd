import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The folder of the clone. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const WRANGLER = fileURLToPath(
  new URL("../../node_modules/wrangler/bin/wrangler.js", import.meta.url),
);

/** Makes wrangler work without network or account, and say nothing of its own. */
const OFFLINE = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  // Logs belong to the terminal, not into the user's home folder.
  WRANGLER_WRITE_LOGS: "false",
};

/** Starts wrangler in a process group of its own, so that all of it can be stopped together. */
export function spawnWrangler(args: readonly string[], options: { offline: boolean }) {
  const env = { ...process.env, ...(options.offline ? OFFLINE : {}) };
  return spawn(process.execPath, [WRANGLER, ...args], {
    cwd: ROOT,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Runs wrangler to its end; answers what it printed, throws it when it failed. */
export async function runWrangler(
  args: readonly string[],
  options: { offline: boolean },
): Promise<string> {
  const child = spawnWrangler(args, options);
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`wrangler ${args.slice(0, 3).join(" ")} failed:\n${output}`);
  return output;
}
