/** Signs the data of reports with Ed25519, as a flattened JWS (RFC 7515 §7.2.2, RFC 8037). Loads with the first report. */
import { free } from "../lib/bytes.ts";
import { JWS_TYPE } from "./check/format.ts";
import { type PublicJwk, publicJwkOf, thumbprintOf } from "./check/keys.ts";

/** The key that signs reports. */
export interface Signer {
  /** The key's thumbprint (RFC 7638). */
  kid: string;
  jwk: PublicJwk;
  key: Awaited<ReturnType<typeof crypto.subtle.importKey>>;
}

const ALGORITHM = "Ed25519";
/** What stands before the seed in PKCS #8 (RFC 8410 §7). */
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * Opens the key that signs: the first seed's.
 *
 * @param seeds base64url, 32 bytes each (`lib/config.ts` has tested them)
 * @returns null without a seed: reports are then unsigned
 */
export async function openSigner(seeds: readonly string[]): Promise<Signer | null> {
  const [seed] = seeds;
  return seed === undefined ? null : openKey(seed);
}

/** The key pair of a seed. */
export async function openKey(seed: string): Promise<Signer> {
  const pkcs8 = Buffer.concat([PKCS8, Buffer.from(seed, "base64url")]);
  const extractable = await crypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"]);
  const jwk = publicJwkOf(await crypto.subtle.exportKey("jwk", extractable));
  if (jwk === null) throw new Error("The platform has exported another kind of key");
  return { kid: await thumbprintOf(jwk), jwk, key: extractable };
}

const OPEN = '{"payload":"';

/**
 * The data of a report as it is embedded in its file: `{"payload", "protected", "signature"}`, the last two
 * null without a signer. One buffer holds first what is signed, then what is answered: the payload of a large job has
 * megabytes.
 *
 * @param payload JSON, in parts (`report-json.ts`)
 */
export async function signData(
  payload: Iterable<string>,
  signer: Signer | null,
): Promise<Uint8Array> {
  const header =
    signer &&
    Buffer.from(
      JSON.stringify({ alg: "EdDSA", jwk: signer.jwk, kid: signer.kid, typ: JWS_TYPE }),
    ).toString("base64url");
  const json = joined(Array.from(payload, (part) => Buffer.from(part)));
  // Of what is signed, this part makes room for the beginning of the JSON.
  const before = header === null ? OPEN : `${header}.`;
  const encoded = Math.ceil((json.length * 4) / 3);
  const close = (signature: string) =>
    header === null
      ? '","protected":null,"signature":null}'
      : `","protected":"${header}","signature":"${signature}"}`;
  const end = before.length + encoded;
  const whole = Buffer.alloc(end + close("x".repeat(86)).length);
  whole.write(before, "latin1");
  writeBase64url(json, whole, before.length);
  free(json);
  const signature = signer && (await signatureOf(signer, whole.subarray(0, end)));
  whole.write(close(signature ?? ""), end, "latin1");
  const start = before.length - OPEN.length;
  whole.write(OPEN, start, "latin1");
  return whole.subarray(start);
}

/** In memory of its own, which can be given back: small buffers share theirs. */
function joined(parts: readonly Buffer[]): Buffer {
  const whole = Buffer.alloc(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) at += part.copy(whole, at);
  return whole;
}

async function signatureOf({ key }: Signer, input: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.sign(ALGORITHM, key, input)).toString("base64url");
}

/** A multiple of three bytes, so that parts need no padding. */
const PART_BYTES = 3 * 16_384;

function writeBase64url(bytes: Buffer, to: Buffer, offset: number): void {
  let at = offset;
  for (let from = 0; from < bytes.length; from += PART_BYTES) {
    const part = bytes.subarray(from, from + PART_BYTES).toString("base64url");
    at += to.write(part, at, "latin1");
  }
}
