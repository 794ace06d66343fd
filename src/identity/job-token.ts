import { SECOND_MS } from "../lib/clock.ts";
import { isAnonymous } from "./anonymous.ts";
import { ANONYMOUS_READING_MS } from "./lifetimes.ts";
import type { Tokens } from "./tokens.ts";

/** What D1 keeps of a job that its token follows from. */
export interface JobTokenFacts {
  id: number;
  userId: number;
  tokenKeyId: string;
  createdAt: number;
  expiresAt: number;
}

/**
 * A job's token: derived, never stored, the same on every read. That of a job without an account is its
 * reader's credential, too, and outlives the job for that.
 */
export function jobTokenOf(tokens: Tokens, job: JobTokenFacts): Promise<string> {
  const { id, tokenKeyId, createdAt, expiresAt } = job;
  const sub = String(id);
  if (!isAnonymous(job)) {
    return tokens.derive("job", { sub }, { from: createdAt, until: expiresAt }, tokenKeyId);
  }
  const claims = { sub, work_until: Math.floor(expiresAt / SECOND_MS) };
  const until = createdAt + ANONYMOUS_READING_MS;
  return tokens.derive("job", claims, { from: createdAt, until }, tokenKeyId);
}
