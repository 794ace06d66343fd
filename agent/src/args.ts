import type { BlockList } from "node:net";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { TransportChoice } from "./channel/channel.ts";
import { parseNetworks } from "./cluster-network/peer-address.ts";
import { parseDuration } from "./duration.ts";
import { ENGINES, type ProbeOptions } from "./gpu/messages.ts";
import { type HostPort, parseHostPort } from "./host-port.ts";
import { isJobToken, isRunnerKey, otherKindOf } from "./token-kind.ts";

export interface AgentOptions {
  /** Origin (and path prefix, if any) of the control plane, without a trailing slash. */
  host: string;
  credential: Credential;
  machineUuid: string | null;
  clusterAddress: HostPort | null;
  /** Networks that peers are dialled in; null for any. */
  clusterPeers: BlockList | null;
  replayFile: string | null;
  probe: ProbeOptions;
  /** Whether to measure with the cuBLASLt that this agent pins. */
  fetchCublas: boolean;
  /** Folder of the disk that host_mark measures. */
  diskPath: string;
  /** More certificates to trust, in PEM form. */
  caFile: string | null;
  /** The time to wait for an answer from the server; null for the defaults. */
  giveUpAfterMs: number | null;
  transport: TransportChoice;
  json: boolean;
}

/** Its role: a node of one job, or a runner that claims jobs as a service. */
export type Credential =
  | { kind: "job"; token: string }
  | { kind: "runner"; runner: string; key: string };

export type Command =
  | { kind: "run"; options: AgentOptions }
  /** Measures and shows the figures, without a server. */
  | {
      kind: "probe-only";
      probe: ProbeOptions;
      fetchCublas: boolean;
      caFile: string | null;
      json: boolean;
    }
  | { kind: "help" }
  | { kind: "version" }
  | { kind: "usage-error"; message: string };

/** A step that runs longer than this after the first signal is given up. */
export const DRAIN_SECONDS = 60;

export const HELP = `Usage: node agent.mjs --host URL --token TOKEN [options]
       node agent.mjs --host URL --runner RUNNER --key KEY [options]
       node agent.mjs --probe-only [--json]

Joins a benchmark job as one of its nodes, runs its steps and sends the results. As a runner it claims
one job after the other and runs each of them so, until it is stopped. --probe-only measures this machine
and shows its figures, without a server.

  --host URL                control plane, such as https://assay.example (or ASSAY_HOST)
  --token TOKEN             the job's token (or ASSAY_TOKEN; --api-key and -api-key also work)
  --runner RUNNER           UUID or slug of a runner (or ASSAY_RUNNER)
  --key KEY                 the runner's key (or ASSAY_KEY, which other users of the machine do not see)
  --machine-uuid UUID       identity of this machine (default: made from /etc/machine-id and the network
                            card; in a container from ASSAY_MACHINE_KEY, else kept in the state folder;
                            a runner has its own)
  --cluster-address H:P     where the other nodes reach this one, [addr]:port for IPv6 (default: the addresses
                            by which this machine reaches the server and the network, port 7117); listened
                            on only while a cluster step runs
  --cluster-peers CIDR      connect to other nodes only in this network, such as 10.20.0.0/16; more than
                            one separated by commas, or by repeating the option (default: any network,
                            but never loopback, link-local, multicast or metadata addresses)
  --probe-only              measure this machine's GPUs and show the figures
  --engine NAME             what multiplies matrices: cublaslt, ptx (this agent's own kernel) or torch (a
                            PyTorch that is installed here); default: cublaslt where the machine has it
  --cublas FOLDER           folder with libcublasLt (default: looked for in PyTorch and CUDA toolkits)
  --fetch-cublas            fetch the cuBLASLt that this agent pins from PyPI (590 MB, kept in ~/.cache) and
                            measure with it, so that all machines have the same
  --busy-ok                 measure GPUs that others use; such figures are never rated
  --disk-path FOLDER        folder of the disk that host_mark measures (default: the working directory)
  --replay FILE             answer quick_mark with a recorded result, marked as replayed
  --ca FILE                 trust the certificates of this PEM file, too, such as a company's own CA
  --give-up-after DURATION  end when the server has not answered for so long, such as 90s, 30m, 12h or 2d
                            (default: 10m for the first answer; after it a node tries until its job
                            expires, a runner for ever)
  --transport NAME          how a node hears of changes, and a runner of jobs: channel, an open WebSocket; poll, asking;
                            auto (default): a channel, and polling where there is none
  --json                    print each ending as one JSON line on standard output: the final task with figures
                            and reasons, or the figures of --probe-only
  --help, --version

HTTPS_PROXY, HTTP_PROXY and NO_PROXY name a proxy as for curl, https_proxy and so on before them.

SIGINT or SIGTERM stops a node at once; its task stays open for an agent that is started again. A runner
finishes the step that it runs, for at most ${DRAIN_SECONDS} seconds, sends its result, gives up the rest of its task
and exits with 0; a second signal stops it at once.

Exit code: 0 task completed, runner stopped or all figures measured, 1 anything else, 2 bad usage, 130
and 143 interrupted.
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
  if (flags.ca === "") return usageError("--ca needs the name of a file");
  const measuring = readProbe(flags);
  if ("message" in measuring) return usageError(measuring.message);
  const { probe, fetchCublas } = measuring;
  const caFile = flags.ca ?? null;
  if (flags["probe-only"]) {
    return { kind: "probe-only", probe, fetchCublas, caFile, json: flags.json ?? false };
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
  const networks = flags["cluster-peers"];
  const clusterPeers = networks === undefined ? null : parseNetworks(networks);
  if (networks !== undefined && clusterPeers === null) {
    return usageError("--cluster-peers must be networks such as 10.20.0.0/16 or fd00:20::/64");
  }
  if (flags.replay === "") return usageError("--replay needs the name of a file");
  if (flags["disk-path"] === "") return usageError("--disk-path needs the name of a folder");
  const duration = flags["give-up-after"];
  const giveUpAfterMs = duration === undefined ? null : parseDuration(duration);
  if (duration !== undefined && giveUpAfterMs === null) {
    return usageError("--give-up-after must be a duration such as 90s, 30m, 12h or 2d");
  }
  const { transport = "auto" } = flags;
  if (transport !== "auto" && transport !== "channel" && transport !== "poll") {
    return usageError("--transport must be auto, channel or poll");
  }
  return {
    kind: "run",
    options: {
      host: host.value,
      credential,
      machineUuid,
      clusterAddress,
      clusterPeers,
      replayFile: flags.replay ?? null,
      probe,
      fetchCublas,
      diskPath: resolve(flags["disk-path"] ?? "."),
      caFile,
      giveUpAfterMs,
      transport,
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
      "cluster-peers": { type: "string", multiple: true },
      replay: { type: "string" },
      "probe-only": { type: "boolean" },
      engine: { type: "string" },
      cublas: { type: "string" },
      "fetch-cublas": { type: "boolean" },
      "busy-ok": { type: "boolean" },
      "disk-path": { type: "string" },
      ca: { type: "string" },
      "give-up-after": { type: "string" },
      transport: { type: "string" },
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

function readProbe(
  flags: Flags,
): { probe: ProbeOptions; fetchCublas: boolean } | { message: string } {
  const { engine = null, cublas = null } = flags;
  const known = ENGINES.find((name) => name === engine) ?? null;
  if (engine !== null && known === null) {
    return { message: "--engine must be cublaslt, ptx or torch" };
  }
  if (cublas === "") return { message: "--cublas needs the name of a folder" };
  const fetchCublas = flags["fetch-cublas"] ?? false;
  if (cublas !== null && fetchCublas) {
    return { message: "--cublas and --fetch-cublas name two libraries; give only one of them" };
  }
  if ((cublas !== null || fetchCublas) && known !== null && known !== "cublaslt") {
    const flag = cublas === null ? "--fetch-cublas" : "--cublas";
    return { message: `${flag} is for the engine cublaslt; leave one of them out` };
  }
  const busyOk = flags["busy-ok"] ?? false;
  return {
    probe: { engine: known, cublas: cublas === null ? null : resolve(cublas), busyOk },
    fetchCublas,
  };
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
    if (isJobToken(key)) {
      return { message: "that key is the token of a job; give it with --token, without --runner" };
    }
    if (!isRunnerKey(key)) {
      return {
        message: "the key is not one of a runner: bencher_runner_ and 30 letters and digits",
      };
    }
    return { kind: "runner", runner, key };
  }
  const token = (flaggedToken ?? env.ASSAY_TOKEN ?? "").trim();
  if (token === "")
    return { message: "no token; give the job's token with --token or ASSAY_TOKEN" };
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return { message: "the token holds characters no token has; copy it again from the job" };
  }
  const other = otherKindOf(token);
  if (other !== null) {
    return { message: `that is not the token of a job but ${other}; copy the job's token` };
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
