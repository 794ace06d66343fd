/** Base64url without padding (RFC 4648 §5), wherever it runs: in the Worker, in Node 20 and in browsers. */

/** The bytes of a text; null unless it is their only spelling. */
export function fromBase64url(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]*$/.test(text) || text.length % 4 === 1) return null;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  // Bits that no byte holds would make a second spelling.
  const tail = text.slice(text.length - (text.length % 4));
  const end = bytes.subarray(bytes.length - (bytes.length % 3));
  return tail === "" || toBase64url(end) === tail ? bytes : null;
}

/** For short texts: keys, digests, signatures. */
export function toBase64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
