import { SECOND_MS } from "../lib/clock.ts";
import { isAnonymous } from "./anonymous.ts";
import { ANONYMOUS_READING_MS } from "./lifetimes.ts";
import type { Tokens } from "./tokens.ts";

/** The facts of a job's token from which those of its tasks are derived; times in ms. */
export interface TaskTokenFacts {
  keyId: string;
  from: number;
  /** End of joining and reporting. */
  until: number;
}

/** The facts of a job's row from which its token is derived. */
export interface JobTokenFacts {
  id: number;
  userId: number;
  nodeCount: number;
  tokenKeyId: string;
  createdAt: number;
  expiresAt: number;
}

/**
 * A job's token: derived, never stored, the same on every read. The token of a job created without an
 * account is its only credential for reading, and outlives the job for that.
 */
export function jobTokenOf(tokens: Tokens, job: JobTokenFacts): string {
  const { id, nodeCount, tokenKeyId, createdAt, expiresAt } = job;
  const claims = { sub: String(id), nodes: nodeCount };
  if (!isAnonymous(job)) {
    return tokens.derive("job", claims, { from: createdAt, until: expiresAt }, tokenKeyId);
  }
  const work_until = Math.floor(expiresAt / SECOND_MS);
  const until = createdAt + ANONYMOUS_READING_MS;
  return tokens.derive("job", { ...claims, work_until }, { from: createdAt, until }, tokenKeyId);
}

/**
 * The token of one node: derived with the secret of its job's token and valid as long as that works, never
 * stored. The job's object decides which epoch is the present one.
 */
export function taskTokenOf(
  tokens: Tokens,
  { keyId, from, until }: TaskTokenFacts,
  { taskId, epoch }: { taskId: number; epoch: number },
): string {
  return tokens.derive("task", { sub: String(taskId), epoch }, { from, until }, keyId);
}

/** The epoch that a task's token names; -1 for any other text. */
export async function epochOf(tokens: Tokens, token: string, taskId: number): Promise<number> {
  const claims = await tokens.verify("task", token);
  return claims?.sub === String(taskId) ? (claims.epoch ?? -1) : -1;
}
