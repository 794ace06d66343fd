import { parseArgs } from "node:util";
import { type HostPort, parseHostPort } from "./host-port.ts";

export interface AgentOptions {
  /** Origin (and path prefix, if any) of the control plane, without a trailing slash. */
  host: string;
  token: string;
  machineUuid: string | null;
  clusterAddress: HostPort | null;
  replayFile: string | null;
  json: boolean;
}

export type Command =
  | { kind: "run"; options: AgentOptions }
  | { kind: "help" }
  | { kind: "version" }
  | { kind: "usage-error"; message: string };

export const HELP = `Usage: node agent.mjs --host URL --token TOKEN [options]

Joins a benchmark job as one of its nodes, runs its steps and sends the results.

  --host URL                control plane, such as https://assay.example (or ASSAY_HOST)
  --token TOKEN             the job's token (or ASSAY_TOKEN; --api-key and -api-key also work)
  --machine-uuid UUID       identity of this machine (default: from /etc/machine-id; needed where
                            several machines or containers share one)
  --cluster-address H:P     where the other nodes reach this one, [addr]:port for IPv6 (default:
                            first IPv4 address, port 7117); listened on only while a cluster step runs
  --replay FILE             answer quick_mark with a recorded result, marked as replayed
  --json                    print the final task as one JSON line on standard output
  --help, --version

Exit code: 0 task completed, 1 anything else, 2 bad usage, 130 and 143 interrupted.
`;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Reads the command line and environment. Never puts the token into a message. */
export function parseCommand(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Command {
  const read = readFlags(argv);
  if (!read.ok) return usageError(read.message);
  const flags = read.flags;
  if (flags.help) return { kind: "help" };
  if (flags.version) return { kind: "version" };

  if (flags.token !== undefined && flags["api-key"] !== undefined) {
    return usageError("--token and --api-key are the same thing; give only one of them");
  }
  const host = parseHost(flags.host ?? env.ASSAY_HOST);
  if (!host.ok) return usageError(host.message);
  const token = (flags.token ?? flags["api-key"] ?? env.ASSAY_TOKEN ?? "").trim();
  if (token === "") return usageError("no token; give the job's token with --token or ASSAY_TOKEN");
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return usageError("the token holds characters no token has; copy it again from the job");
  }

  const machineUuid = flags["machine-uuid"]?.toLowerCase() ?? null;
  if (machineUuid !== null && !UUID.test(machineUuid)) {
    return usageError("--machine-uuid must look like 550e8400-e29b-41d4-a716-446655440000");
  }
  const addressText = flags["cluster-address"];
  const clusterAddress = addressText === undefined ? null : parseHostPort(addressText);
  if (addressText !== undefined && clusterAddress === null) {
    return usageError("--cluster-address must be host:port or [ipv6]:port, port 1 to 65535");
  }
  if (flags.replay === "") return usageError("--replay needs the name of a file");
  return {
    kind: "run",
    options: {
      host: host.value,
      token,
      machineUuid,
      clusterAddress,
      replayFile: flags.replay ?? null,
      json: flags.json ?? false,
    },
  };
}

function usageError(message: string): Command {
  return { kind: "usage-error", message };
}

function parseFlags(args: string[]) {
  return parseArgs({
    args,
    options: {
      host: { type: "string" },
      token: { type: "string" },
      "api-key": { type: "string" },
      "machine-uuid": { type: "string" },
      "cluster-address": { type: "string" },
      replay: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
      version: { type: "boolean" },
    },
    strict: true,
    allowPositionals: false,
  }).values;
}

type Flags = ReturnType<typeof parseFlags>;

function readFlags(
  argv: readonly string[],
): { ok: true; flags: Flags } | { ok: false; message: string } {
  // Existing scripts write -api-key with one dash, which parseArgs would read as -a -p -i ….
  const args = argv.map((arg) => (/^-api-key(=|$)/.test(arg) ? `-${arg}` : arg));
  try {
    return { ok: true, flags: parseFlags(args) };
  } catch (error) {
    // A stray argument may be a token that lost its flag: parseArgs would quote it.
    const code = error instanceof Error && "code" in error ? error.code : "";
    const message =
      code === "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL"
        ? "unexpected argument; every value needs its flag before it"
        : error instanceof Error
          ? error.message
          : String(error);
    return { ok: false, message };
  }
}

function parseHost(
  text: string | undefined,
): { ok: true; value: string } | { ok: false; message: string } {
  if (text === undefined || text.trim() === "") {
    return { ok: false, message: "no host; give the control plane with --host or ASSAY_HOST" };
  }
  const message = "--host must be an address such as https://assay.example or http://10.0.0.5:8787";
  try {
    const url = new URL(text.trim());
    const plain = url.username === "" && url.password === "" && url.search + url.hash === "";
    if (!/^https?:$/.test(url.protocol) || !plain) return { ok: false, message };
    return { ok: true, value: (url.origin + url.pathname).replace(/\/+$/, "") };
  } catch {
    return { ok: false, message };
  }
}
