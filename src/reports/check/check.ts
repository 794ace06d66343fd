/** Checks the signed data of a report, wherever it runs: in Node 20 and in browsers. */
import { fromBase64url } from "./base64url.ts";
import { embeddedFiles, readEmbedded } from "./embedded-files.ts";
import { DATA_FORMAT, JWS_TYPE, MAX_FILE_BYTES } from "./format.ts";
import { type PublicJwk, publicJwkOf, thumbprintOf } from "./keys.ts";

/** Bound of the data, once it is decompressed. */
const MAX_DATA_BYTES = 100_000_000;

/** What the data says of itself. Texts of a stranger until the signature is known. */
export interface ReportFacts {
  hash: string;
  jobId: string;
  jobName: string;
  customer: string;
  /** Null for a report of the whole job. */
  rank: number | null;
  state: string;
  endedAt: string;
  /** The verdict, in the report's words. */
  status: string;
  origin: string;
}

const STATUS_WORDS = new Map([
  ["expected", "as expected"],
  ["unrated", "not rated"],
]);

/**
 * `valid`: a trusted key has signed the data. `integrity`: no keys were given, and the key that the data names has signed
 * it. `unknown_key`: signed by none of the keys. `invalid`: everything else.
 */
export type CheckVerdict = "valid" | "integrity" | "unknown_key" | "invalid";

export interface Checked {
  verdict: CheckVerdict;
  /** The reason, for people. */
  reason: string;
  /** Id of the key that the signature names; null without one. */
  kid: string | null;
  /** Null unless the signature is right. */
  facts: ReportFacts | null;
  isPdf: boolean;
}

interface Jws {
  payload: string;
  protected: string;
  signature: string;
}

class Refusal extends Error {}

/**
 * Checks a report's PDF, or the JSON of its data.
 *
 * @param keys whom to trust; null to test integrity alone
 * @throws where the platform has no Ed25519
 */
export async function checkReport(
  file: Uint8Array<ArrayBuffer>,
  keys: readonly PublicJwk[] | null,
): Promise<Checked> {
  const isPdf = startsWith(file, "%PDF-");
  const result = { kid: null, facts: null, isPdf };
  try {
    const jws = readJws(isPdf ? await dataOfPdf(file) : dataOfJson(file));
    return { ...(await checkSignature(jws, keys)), isPdf };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { ...result, verdict: "invalid", reason: error.message };
  }
}

/** The keys of a JWK set, such as that of `/.well-known/assay-report-keys.json`; null for any other text. */
export function readKeys(text: string): PublicJwk[] | null {
  try {
    const { keys } = objectOf(JSON.parse(text));
    return Array.isArray(keys) ? keys.flatMap((key) => publicJwkOf(key) ?? []) : null;
  } catch {
    return null;
  }
}

function startsWith(file: Uint8Array, text: string): boolean {
  return String.fromCharCode(...file.subarray(0, text.length)) === text;
}

async function dataOfPdf(file: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (file.length > MAX_FILE_BYTES) throw new Refusal("the file is larger than any report");
  const extents = embeddedFiles(file);
  const [extent] = extents;
  if (extent === undefined) {
    throw new Refusal(
      "this PDF holds no report.json: it is not a report of Assay, or its data was removed",
    );
  }
  // A second one could be what a reader shows.
  if (extents.length > 1)
    throw new Refusal("this PDF holds several embedded files; a report has one");
  const data = await readEmbedded(file, extent, MAX_DATA_BYTES);
  if (data === null) throw new Refusal("the report.json in this PDF is damaged or too large");
  return data;
}

function dataOfJson(file: Uint8Array): Uint8Array {
  if (!startsWith(file, "{"))
    throw new Refusal("the file is neither a PDF nor the data of a report");
  if (file.length > MAX_DATA_BYTES)
    throw new Refusal("the file is larger than the data of any report");
  return file;
}

function readJws(data: Uint8Array): Jws {
  const {
    payload,
    protected: header,
    signature,
  } = readObject(data, "the data is not a JSON object");
  if (typeof payload !== "string") throw new Refusal("the data has no payload");
  if (typeof header !== "string" || typeof signature !== "string") {
    throw new Refusal(
      "the report is unsigned: its server had no key, or the signature was removed",
    );
  }
  return { payload, protected: header, signature };
}

async function checkSignature(
  jws: Jws,
  keys: readonly PublicJwk[] | null,
): Promise<Omit<Checked, "isPdf">> {
  const header = readObject(decoded(jws.protected, "header"), "the signature's header is not JSON");
  const own = publicJwkOf(header.jwk);
  const isKnownForm =
    header.alg === "EdDSA" && header.typ === JWS_TYPE && header.crit === undefined && own !== null;
  if (!isKnownForm) throw new Refusal("no report has a signature of this form");
  const kid = await thumbprintOf(own);
  if (header.kid !== kid) throw new Refusal("the signature names another key than it holds");
  const key = keys === null ? own : await find(keys, kid);
  if (key === null) {
    const reason = `signed by the key ${kid}, which is not among those given`;
    return { verdict: "unknown_key", reason, kid, facts: null };
  }
  const signature = decoded(jws.signature, "signature");
  const input = new TextEncoder().encode(`${jws.protected}.${jws.payload}`);
  const publicKey = await crypto.subtle.importKey("jwk", { ...key }, "Ed25519", false, ["verify"]);
  if (!(await crypto.subtle.verify("Ed25519", publicKey, signature, input))) {
    throw new Refusal("the signature is wrong: the data was changed after it was signed");
  }
  const facts = factsOf(readObject(decoded(jws.payload, "payload"), "the payload is not JSON"));
  return keys === null
    ? { verdict: "integrity", reason: "not changed since it was signed", kid, facts }
    : { verdict: "valid", reason: `signed by the key ${kid}`, kid, facts };
}

async function find(keys: readonly PublicJwk[], kid: string): Promise<PublicJwk | null> {
  for (const key of keys) if ((await thumbprintOf(key)) === kid) return key;
  return null;
}

function factsOf(data: Record<string, unknown>): ReportFacts {
  if (data.format !== DATA_FORMAT)
    throw new Refusal("this program does not know the form of the data");
  const { id, name, customer, state, ended_at: endedAt } = objectOf(data.job);
  const { rank } = objectOf(data.subject);
  const { status } = objectOf(data.verdict);
  const hash = textOf(data.content_hash);
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new Refusal("the data has no content hash");
  return {
    hash,
    jobId: textOf(id),
    jobName: textOf(name),
    customer: textOf(customer),
    rank: typeof rank === "number" ? rank : null,
    state: textOf(state).replaceAll("_", " "),
    endedAt: textOf(endedAt),
    status: STATUS_WORDS.get(textOf(status) || "unrated") ?? textOf(status),
    origin: textOf(data.origin),
  };
}

function decoded(text: string, name: string): Uint8Array<ArrayBuffer> {
  const bytes = fromBase64url(text);
  if (bytes === null) throw new Refusal(`the ${name} is not in base64url`);
  return bytes;
}

function readObject(bytes: Uint8Array, fault: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    );
    if (typeof value === "object" && value !== null) return objectOf(value);
  } catch {}
  throw new Refusal(fault);
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}; // JSON: keys are strings
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
