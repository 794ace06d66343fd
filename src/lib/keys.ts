/** Keys of people and runners: random, shown once, stored as SHA-256. */
import { createHash, timingSafeEqual } from "node:crypto";

const CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** 178 bits, which nobody can guess, so a hash without salt or stretching is enough. */
export const RANDOM_LENGTH = 30;

export function drawKey(prefix: string): string {
  let key = prefix;
  const length = prefix.length + RANDOM_LENGTH;
  while (key.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(RANDOM_LENGTH))) {
      // Bytes beyond the last multiple of 62 are skipped: they would favour the first characters.
      if (byte < 256 - (256 % CHARACTERS.length)) key += CHARACTERS[byte % CHARACTERS.length];
      if (key.length === length) break;
    }
  }
  return key;
}

export function hashOfKey(key: string): string {
  return createHash("sha256").update(key).digest("base64url");
}

/** Compares in constant time. */
export function isSameHash(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
