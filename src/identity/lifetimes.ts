/** Facts of tokens that the project's commands share: nothing here needs the platform. */
import { createHash } from "node:crypto";
import { DAY_MS, HOUR_MS } from "../lib/clock.ts";

/** A job lives this long after its creation, and its token with it (contract §4). */
export const JOB_LIFETIME_MS = DAY_MS;
/** Whoever has no account reads their job with its token alone: for so long after its creation. */
export const ANONYMOUS_READING_MS = 7 * DAY_MS;
export const USER_TOKEN_LIFETIME_MS = HOUR_MS;
/** A session ends when nobody has asked for a new token for so long. */
export const SESSION_LIFETIME_MS = 30 * DAY_MS;
/** Failed sign-ins are forgotten so long after the last one. */
export const SIGN_IN_FAILURES_KEPT_MS = DAY_MS;

/** Names a token secret: eight characters of a hash tell two apart and nothing about them. */
export function keyIdOf(secret: string): string {
  return createHash("sha256").update(`assay key id ${secret}`).digest("base64url").slice(0, 8);
}
