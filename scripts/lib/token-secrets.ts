/** Which token secrets a deployment still needs. */

import { ANONYMOUS } from "../../src/identity/anonymous.ts";
import {
  ANONYMOUS_READING_MS,
  keyIdOf,
  SESSION_LIFETIME_MS,
} from "../../src/identity/lifetimes.ts";

/** The database's record of the secrets, by key id. */
export interface KeyUse {
  /** Those that have signed tokens of live API tokens, and of jobs that are live or read. */
  inUse: ReadonlySet<string>;
  /** Time at which each secret was replaced, ms. */
  retiredAt: ReadonlyMap<string, number>;
}

/**
 * The secrets after a rotation: the fresh one signs, the one before verifies, and so does every older
 * one whose tokens may live: API tokens and jobs are known, sessions live for 30 days from the rotation.
 */
export function rotated(
  current: readonly string[],
  fresh: string,
  { inUse, retiredAt }: KeyUse,
  now: number,
): string[] {
  const [signing, ...older] = current;
  if (signing === undefined) throw new Error("There is no secret to rotate");
  const needed = older.filter((secret) => {
    const id = keyIdOf(secret);
    const retired = retiredAt.get(id);
    // Retired by hand at an unknown time: it stays until this rotation has become old.
    return inUse.has(id) || retired === undefined || now - retired < SESSION_LIFETIME_MS;
  });
  return [fresh, signing, ...needed];
}

/** One statement that reads the use of all keys as `kind, key_id, at`. */
export function keyUseQuery(now: number): string {
  return `SELECT 'in_use' AS kind, key_id, 0 AS at FROM api_tokens WHERE key_hash IS NULL AND revoked_at IS NULL AND expires_at > ${now} GROUP BY key_id
    UNION ALL SELECT 'in_use', token_key_id, 0 FROM jobs WHERE expires_at > ${now} GROUP BY token_key_id
    UNION ALL SELECT 'in_use', token_key_id, 0 FROM jobs WHERE user_id = ${ANONYMOUS.userId} AND created_at > ${now - ANONYMOUS_READING_MS} AND deleted_at IS NULL GROUP BY token_key_id
    UNION ALL SELECT 'retired', subject, min(at) FROM audit_events WHERE action = 'token_secret_retired' GROUP BY subject`;
}

export function readKeyUse(rows: readonly { kind: string; key_id: string; at: number }[]): KeyUse {
  const of = (kind: string) => rows.filter((row) => row.kind === kind);
  return {
    inUse: new Set(of("in_use").map(({ key_id }) => key_id)),
    retiredAt: new Map(of("retired").map(({ key_id, at }) => [key_id, at])),
  };
}

/** Notes in the audit log since when secrets only verify; what is noted already stays. */
export function retirementStatement(keyIds: readonly string[], now: number): string {
  const rows = keyIds.map(
    (id) =>
      `SELECT ${now}, 'token_secret_retired', 'operator', 'secret', '${id}', 'rotate-secret' WHERE NOT EXISTS (SELECT 1 FROM audit_events WHERE action = 'token_secret_retired' AND subject = '${id}')`,
  );
  return `INSERT INTO audit_events (at, action, actor_kind, subject_kind, subject, request_id) ${rows.join(" UNION ALL ")};`;
}
