/** Keys of runners: random, shown once, stored as SHA-256. */
import { createHash, timingSafeEqual } from "node:crypto";

const PREFIX = "assay_runner_";
const CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** 178 bits, which nobody can guess, so a hash without salt or stretching is enough. */
const LENGTH = 30;

export const KEY_LENGTH = PREFIX.length + LENGTH;
export const KEY_PATTERN = /^assay_runner_[A-Za-z0-9]{30}$/;

export function drawKey(): string {
  let key = PREFIX;
  while (key.length < KEY_LENGTH) {
    for (const byte of crypto.getRandomValues(new Uint8Array(LENGTH))) {
      // Bytes beyond the last multiple of 62 are skipped: they would favour the first characters.
      if (byte < 256 - (256 % CHARACTERS.length)) key += CHARACTERS[byte % CHARACTERS.length];
      if (key.length === KEY_LENGTH) break;
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
