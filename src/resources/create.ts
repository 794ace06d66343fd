import { uniqueViolation } from "../db/errors.ts";
import { findFirstRequest, type IdempotencyKey, isRepeat } from "../db/idempotency.ts";
import { ApiError } from "../http/errors.ts";

/** Random values are drawn at most this often: more collisions mean a fault. */
const MAX_DRAWS = 5;

/**
 * Creates a resource once: the repeat of a request answers the facts that the first request stored. One more
 * round trip for a repeat, and for each draw of a random value that was taken.
 *
 * @param create draws random values, and stores the resource after the statements of `reserveKey`
 * @param refusalOf the refusal that a unique violation stands for; null to draw again
 */
export async function createOnce<Created>(
  key: IdempotencyKey | null,
  create: () => Promise<Created>,
  refusalOf: (violatedColumns: string) => ApiError | null = () => null,
): Promise<{ created: Created; replayed: boolean }> {
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    try {
      return { created: await create(), replayed: false };
    } catch (error) {
      const violated = uniqueViolation(error);
      if (violated === null) throw error;
      if (key !== null && isRepeat(violated)) {
        // The same route stored the facts, by the same `create`.
        return { created: (await factsOfFirst(key)) as Created, replayed: true };
      }
      const refusal = refusalOf(violated);
      if (refusal !== null) throw refusal;
    }
  }
  throw new Error(`Nothing free in ${MAX_DRAWS} draws`);
}

/** Throws 422 when the first request had other content. */
async function factsOfFirst(key: IdempotencyKey): Promise<unknown> {
  const { fingerprint, facts } = await findFirstRequest(key);
  if (fingerprint !== key.fingerprint) {
    const message = "This Idempotency-Key was used before for another request; use a new one";
    throw new ApiError("IDEMPOTENCY_KEY_REUSED", message);
  }
  return facts;
}
