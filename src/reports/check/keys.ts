/** Public keys of reports (RFC 8037), wherever it runs: in the Worker, in Node 20 and in browsers. */
import { fromBase64url, toBase64url } from "./base64url.ts";

/** An Ed25519 key, without its secret part. */
export interface PublicJwk {
  kty: "OKP";
  crv: "Ed25519";
  /** The 32 bytes of the key, base64url. */
  x: string;
}

const KEY_BYTES = 32;

/** The key in a JSON value, without other members; null for any other value. */
export function publicJwkOf(value: unknown): PublicJwk | null {
  if (typeof value !== "object" || value === null) return null;
  const { kty, crv, x } = value as Record<string, unknown>; // members of JSON, each tested below
  if (kty !== "OKP" || crv !== "Ed25519" || typeof x !== "string") return null;
  return fromBase64url(x)?.length === KEY_BYTES ? { kty, crv, x } : null;
}

/** The id of a key: its thumbprint (RFC 7638). */
export async function thumbprintOf({ crv, kty, x }: PublicJwk): Promise<string> {
  const members = new TextEncoder().encode(JSON.stringify({ crv, kty, x }));
  return toBase64url(new Uint8Array(await crypto.subtle.digest("SHA-256", members)));
}
