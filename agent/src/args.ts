import { parseArgs } from "node:util";
import { type HostPort, parseHostPort } from "./host-port.ts";

export interface AgentOptions {
  /** Origin (and path prefix, if any) of the control plane, without a trailing slash. */
  host: string;
  credential: Credential;
  machineUuid: string | null;
  clusterAddress: HostPort | null;
  replayFile: string | null;
  json: boolean;
}

/** What it acts for: a node of one job, or a runner that claims jobs as a service. */
export type Credential =
  | { kind: "job"; token: string }
  | { kind: "runner"; runner: string; key: string };

export type Command =
  | { kind: "run"; options: AgentOptions }
  | { kind: "help" }
  | { kind: "version" }
  | { kind: "usage-error"; message: string };

/** A step that runs longer than this after the first signal is given up. */
export const DRAIN_SECONDS = 60;

export const HELP = `Usage: node agent.mjs --host URL --token TOKEN [options]
       node agent.mjs --host URL --runner RUNNER --key KEY [options]

Joins a benchmark job as one of its nodes, runs its steps and sends the results. As a runner it claims
one job after the other and runs each of them so, until it is stopped.

  --host URL                control plane, such as https://assay.example (or ASSAY_HOST)
  --token TOKEN             the job's token (or ASSAY_TOKEN; --api-key and -api-key also work)
  --runner RUNNER           UUID or slug of a runner (or ASSAY_RUNNER)
  --key KEY                 the runner's key (or ASSAY_KEY, which other users of the machine do not see)
  --machine-uuid UUID       identity of this machine (default: from /etc/machine-id; needed where
                            several machines or containers share one; a runner has its own)
  --cluster-address H:P     where the other nodes reach this one, [addr]:port for IPv6 (default:
                            first IPv4 address, port 7117); listened on only while a cluster step runs
  --replay FILE             answer quick_mark with a recorded result, marked as replayed
  --json                    print the final task of each job as one JSON line on standard output
  --help, --version

SIGINT or SIGTERM stops a node at once; its task stays open for an agent that is started again. A runner
finishes the step that it runs, for at most ${DRAIN_SECONDS} seconds, sends its result, gives up the rest of its task
and exits with 0; a second signal stops it at once.

Exit code: 0 task completed or runner stopped, 1 anything else, 2 bad usage, 130 and 143 interrupted.
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
  const credential = readCredential(flags, env);
  if ("message" in credential) return usageError(credential.message);

  const machineUuid = flags["machine-uuid"]?.toLowerCase() ?? null;
  if (machineUuid !== null && !UUID.test(machineUuid)) {
    return usageError("--machine-uuid must look like 550e8400-e29b-41d4-a716-446655440000");
  }
  if (machineUuid !== null && credential.kind === "runner") {
    return usageError("--machine-uuid is for nodes of one job; a runner has its own UUID");
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
      credential,
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
      runner: { type: "string" },
      key: { type: "string" },
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

/** Flags count before the environment: whoever writes --token means a job. */
function readCredential(
  flags: Flags,
  env: Record<string, string | undefined>,
): Credential | { message: string } {
  const flaggedToken = flags.token ?? flags["api-key"];
  const isFlaggedRunner = flags.runner !== undefined || flags.key !== undefined;
  if (flaggedToken !== undefined && isFlaggedRunner) {
    return { message: "give --token for one job, or --runner and --key for a runner, not both" };
  }
  const hasRunner = (env.ASSAY_RUNNER ?? env.ASSAY_KEY ?? "") !== "";
  if (isFlaggedRunner || (flaggedToken === undefined && hasRunner)) {
    if (!isFlaggedRunner && (env.ASSAY_TOKEN ?? "") !== "") {
      return {
        message: "ASSAY_TOKEN is for one job, ASSAY_RUNNER and ASSAY_KEY for a runner; set one",
      };
    }
    const runner = (flags.runner ?? env.ASSAY_RUNNER ?? "").trim();
    const key = (flags.key ?? env.ASSAY_KEY ?? "").trim();
    if (runner === "")
      return { message: "no runner; give its UUID or slug with --runner or ASSAY_RUNNER" };
    if (!/^[\w{}:-]+$/.test(runner)) return { message: "--runner must be a UUID or a slug" };
    if (key === "") return { message: "no key; give the runner's key with --key or ASSAY_KEY" };
    if (!/^assay_runner_[A-Za-z0-9]{30}$/.test(key)) {
      return { message: "the key is not one of a runner: assay_runner_ and 30 letters and digits" };
    }
    return { kind: "runner", runner, key };
  }
  const token = (flaggedToken ?? env.ASSAY_TOKEN ?? "").trim();
  if (token === "")
    return { message: "no token; give the job's token with --token or ASSAY_TOKEN" };
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return { message: "the token holds characters no token has; copy it again from the job" };
  }
  return { kind: "job", token };
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
