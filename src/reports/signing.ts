/** Signs the data of reports with Ed25519, as a flattened JWS (RFC 7515 §7.2.2, RFC 8037). Loads with the first report. */
import { MIB } from "../lib/bytes.ts";
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
  // Of what is signed, this part makes room for the beginning of the JSON.
  const before = header === null ? OPEN : `${header}.`;
  const text = new GrowingText(before);
  appendBase64url(text, payload);
  const signature = signer && (await signatureOf(signer, text.bytes));
  text.append(
    header === null
      ? '","protected":null,"signature":null}'
      : `","protected":"${header}","signature":"${signature}"}`,
  );
  const start = before.length - OPEN.length;
  text.bytes.write(OPEN, start, "latin1");
  return text.bytes.subarray(start);
}

async function signatureOf({ key }: Signer, input: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.sign(ALGORITHM, key, input)).toString("base64url");
}

const STEP_BYTES = MIB / 4;

/** ASCII text in memory of its own, which can be given back: small buffers share theirs. */
class GrowingText {
  #buffer = new ArrayBuffer(STEP_BYTES / 16);
  #used = 0;

  constructor(text: string) {
    this.append(text);
  }

  /** Valid until text is appended. */
  get bytes(): Buffer<ArrayBuffer> {
    return Buffer.from(this.#buffer, 0, this.#used);
  }

  append(text: string): void {
    const needed = this.#used + text.length;
    if (needed > this.#buffer.byteLength) {
      const more = Math.min(this.#buffer.byteLength, STEP_BYTES);
      this.#buffer = this.#buffer.transfer(Math.max(needed, this.#buffer.byteLength + more));
    }
    Buffer.from(this.#buffer).write(text, this.#used, "latin1");
    this.#used = needed;
  }
}

/** A multiple of three bytes, so that parts need no padding. */
const PART_BYTES = 3 * 16_384;

/** Part by part: the whole is in memory only as base64url. */
function appendBase64url(text: GrowingText, payload: Iterable<string>): void {
  let rest = Buffer.alloc(0);
  for (const json of payload) {
    const bytes = Buffer.concat([rest, Buffer.from(json)]);
    const whole = bytes.length - (bytes.length % 3);
    for (let from = 0; from < whole; from += PART_BYTES) {
      const part = bytes.subarray(from, Math.min(from + PART_BYTES, whole));
      text.append(part.toString("base64url"));
    }
    rest = Buffer.from(bytes.subarray(whole));
  }
  text.append(rest.toString("base64url"));
}
