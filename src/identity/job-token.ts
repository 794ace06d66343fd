import type { Tokens } from "./tokens.ts";

/** What D1 keeps of a job that its token follows from. */
export interface JobTokenFacts {
  id: number;
  tokenKeyId: string;
  createdAt: number;
  expiresAt: number;
}

/** A job's token: derived, never stored, the same on every read. */
export function jobTokenOf(tokens: Tokens, job: JobTokenFacts): Promise<string> {
  const { id, tokenKeyId, createdAt, expiresAt } = job;
  return tokens.derive(
    "job",
    { sub: String(id) },
    { from: createdAt, until: expiresAt },
    tokenKeyId,
  );
}
