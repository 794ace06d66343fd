/** `verify`: checks a report, by keys in a file, by those of the server that made it, or its integrity alone. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Checked, checkReport, readKeys } from "../../src/reports/check/check.ts";
import { MAX_FILE_BYTES } from "../../src/reports/check/format.ts";
import type { PublicJwk } from "../../src/reports/check/keys.ts";
import { parseHost } from "./args.ts";
import type { Terminal } from "./cli.ts";
import { proxyFor } from "./http/proxy.ts";
import { createTransport, type Transport } from "./http/transport.ts";
import { rootsOf } from "./preparation.ts";
import { isRecord } from "./protocol.ts";

/** As 2 has another meaning here than in the rest of the program, bad usage has that of sysexits.h. */
export const VERIFY_EXIT = { valid: 0, invalid: 1, unknownKey: 2, usage: 64 } as const;

const USAGE = "Usage: node agent.mjs verify FILE [--keys FILE | --host URL] [--ca FILE]";
const KEYS_PATH = "/.well-known/assay-report-keys.json";
const REPORT_PATH = "/api/silicon-mark/v1/reports/";
/** The server has so long for each of two answers. */
const ANSWER_MS = 30_000;
const MAX_KEYS_BYTES = 4 * 2 ** 20;
const MAX_SHOWN = 200;

class VerifyUsage extends Error {}
/** The file, or what it is compared with, cannot be had. */
class Unreadable extends Error {}

/** The whole command: arguments after `verify` in, exit code out. */
export async function runVerify(
  argv: readonly string[],
  env: Record<string, string | undefined>,
  { stdout, stderr }: Terminal,
  signal: AbortSignal,
): Promise<number> {
  try {
    const options = readOptions(argv);
    const file = readInput(options.file, MAX_FILE_BYTES);
    const server = options.host === null ? null : await openServer(options.host, options.ca, env);
    const keys = server
      ? keysIn(await ask(server, KEYS_PATH, signal), options.host ?? "")
      : options.keys === null
        ? null
        : keysIn(readInput(options.keys, MAX_KEYS_BYTES).toString(), options.keys);
    const checked = await checkReport(new Uint8Array(file), keys);
    const compared = server && checked.isPdf ? await compare(checked, file, server, signal) : null;
    const ending = endOf(checked, compared, options);
    stdout(`${[...describe(checked), ...ending.lines].map(clean).join("\n")}\n`);
    return ending.exitCode;
  } catch (error) {
    signal.throwIfAborted();
    const message = error instanceof Error ? error.message : String(error);
    stderr(`assay agent: ${clean(message)}\n`);
    if (!(error instanceof VerifyUsage)) return VERIFY_EXIT.invalid;
    stderr(`${USAGE}\n`);
    return VERIFY_EXIT.usage;
  }
}

interface Options {
  file: string;
  keys: string | null;
  host: string | null;
  ca: string | null;
}

function readOptions(argv: readonly string[]): Options {
  const text = { type: "string" } as const;
  let read: ReturnType<typeof parse>;
  const parse = () =>
    parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { keys: text, host: text, ca: text },
    });
  try {
    read = parse();
  } catch (error) {
    throw new VerifyUsage(error instanceof Error ? error.message : String(error));
  }
  const { keys, host, ca } = read.values;
  const [file, ...more] = read.positionals;
  if (file === undefined || more.length > 0) throw new VerifyUsage("verify needs one file");
  if (keys !== undefined && host !== undefined) {
    throw new VerifyUsage("give --keys or --host, not both");
  }
  const server = host === undefined ? null : parseHost(host);
  if (server !== null && !server.ok) throw new VerifyUsage(server.message);
  return { file, keys: keys ?? null, host: server?.value ?? null, ca: ca ?? null };
}

/** @throws Unreadable, also for a file above the bound */
function readInput(path: string, maxBytes: number): Buffer {
  let fd: number | null = null;
  try {
    fd = openSync(path, "r");
    const { size } = fstatSync(fd);
    if (size > maxBytes) throw new Error(`it is larger than ${maxBytes / 2 ** 20} MiB`);
    return readFileSync(fd);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Unreadable(`${path} cannot be read: ${why}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function keysIn(text: string, from: string): PublicJwk[] {
  const keys = readKeys(text);
  if (keys === null) throw new Unreadable(`${from} has no JWK set: {"keys": […]}`);
  return keys;
}

interface Server {
  host: string;
  transport: Transport;
}

async function openServer(
  host: string,
  ca: string | null,
  env: Record<string, string | undefined>,
): Promise<Server> {
  const url = new URL(host);
  const found = proxyFor(url, env);
  if (!found.ok) throw new VerifyUsage(found.message);
  const roots = await rootsOf(ca, env);
  return { host, transport: createTransport(url, { proxy: found.proxy, roots }) };
}

/** The text of a reply; null where the server does not know what is asked for. */
async function lookUp(
  { host, transport }: Server,
  path: string,
  signal: AbortSignal,
): Promise<string | null> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const url = new URL(host + path);
  const reply = await transport
    .send({ url, method: "GET", headers: {} }, within)
    .catch((error: unknown) => {
      signal.throwIfAborted();
      const why = error instanceof Error ? error.message : String(error);
      throw new Unreadable(`${host} cannot be reached: ${why}`);
    });
  if (reply.isServers && reply.status === 404) return null;
  // A gateway in front of the server must not vouch for a report.
  if (!reply.isServers || reply.status !== 200) {
    throw new Unreadable(
      `${host} answered ${reply.status}: it is not an Assay server, or has a fault`,
    );
  }
  return reply.text;
}

async function ask(server: Server, path: string, signal: AbortSignal): Promise<string> {
  const text = await lookUp(server, path, signal);
  if (text === null) throw new Unreadable(`${server.host} has no report keys`);
  return text;
}

/** How the file fares beside the one that the server has made. */
type Compared = { kind: "same"; isLatest: boolean } | { kind: "differs" } | { kind: "unknown" };

async function compare(
  { facts }: Checked,
  file: Buffer,
  server: Server,
  signal: AbortSignal,
): Promise<Compared | null> {
  if (facts === null) return null;
  const text = await lookUp(server, REPORT_PATH + facts.hash, signal);
  if (text === null) return { kind: "unknown" };
  const report: unknown = JSON.parse(text);
  const { file_sha256: made, is_latest: isLatest } = isRecord(report) ? report : {};
  const own = createHash("sha256").update(file).digest("hex");
  return made === own ? { kind: "same", isLatest: isLatest === true } : { kind: "differs" };
}

function describe({ facts, kid }: Checked): string[] {
  const lines =
    facts === null
      ? []
      : [
          titleOf(facts),
          `Ended ${facts.endedAt || "without a time"}, ${facts.state}, verdict ${facts.status}`,
        ];
  return kid === null ? lines : [...lines, `Key ${kid}`];
}

function titleOf({ jobId, jobName, rank, customer }: NonNullable<Checked["facts"]>): string {
  const node = rank === null ? "" : `, node ${rank}`;
  return `Report of job ${jobId}${node}: ${jobName} (${customer})`;
}

function endOf(
  { verdict, reason, isPdf }: Checked,
  compared: Compared | null,
  { host, keys }: Options,
): { exitCode: number; lines: string[] } {
  if (verdict === "unknown_key") {
    return {
      exitCode: VERIFY_EXIT.unknownKey,
      lines: [`UNKNOWN KEY: ${reason} by ${host ?? keys}`],
    };
  }
  const invalid = (why: string) => ({
    exitCode: VERIFY_EXIT.invalid,
    lines: [`NOT VALID: ${why}`],
  });
  if (verdict === "invalid") return invalid(reason);
  const pages = isPdf ? " The pages were not compared with it; --host does that." : "";
  if (verdict === "integrity") {
    const line = `INTEGRITY ONLY: the data was not changed since it was signed. The signer was not checked: give --host URL or --keys FILE that you trust.${pages}`;
    return { exitCode: VERIFY_EXIT.valid, lines: [line] };
  }
  if (compared === null) {
    const line = `VALID: the data was signed by a key of ${keys ?? host}.${pages}`;
    return { exitCode: VERIFY_EXIT.valid, lines: [line] };
  }
  if (compared.kind === "differs") {
    return invalid(
      `the data is genuine, but the file is not the one that ${host} made: it was changed`,
    );
  }
  if (compared.kind === "unknown") {
    return invalid(
      `the data is genuine, but ${host} no longer has this report, so the pages cannot be compared; --keys checks only the data`,
    );
  }
  const newer = compared.isLatest ? [] : ["There is a newer report."];
  return {
    exitCode: VERIFY_EXIT.valid,
    lines: [`VALID: the file is the one that ${host} made, and its data is signed.`, ...newer],
  };
}

/** Texts of a stranger must not move the terminal's cursor. */
function clean(text: string): string {
  const flat = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ");
  return flat.length > 4 * MAX_SHOWN ? `${flat.slice(0, 4 * MAX_SHOWN)}…` : flat;
}
