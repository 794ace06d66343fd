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
    return usageError("--token and --api-key are the same option; give only one of them");
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
      return { message: "this key is a job's token; give it with --token, without --runner" };
    }
    if (!isRunnerKey(key)) {
      return {
        message: "the key is not a runner's key: bencher_runner_ and 30 letters and digits",
      };
    }
    return { kind: "runner", runner, key };
  }
  const token = (flaggedToken ?? env.ASSAY_TOKEN ?? "").trim();
  if (token === "")
    return { message: "no token; give the job's token with --token or ASSAY_TOKEN" };
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return { message: "the token has invalid characters; copy it again from the job" };
  }
  const other = otherKindOf(token);
  if (other !== null) {
    return { message: `this is not a job's token but ${other}; copy the job's token` };
  }
  return { kind: "job", token };
}

/** An address of a server, without a slash at its end. */
export function parseHost(
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
