/** Public keys of reports in D1: those that sign, and those that have signed. */
import { and, desc, isNotNull, isNull, ne, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { insertFrom } from "../db/insert-from.ts";
import { reportKeys } from "../db/schema/reports.ts";
import type { Signer } from "./signing.ts";

/** Stands for the key of unsigned reports, and is not stored. */
const NO_KEY = { kid: "", jwk: { kty: "OKP", crv: "Ed25519", x: "" } } as const;

/**
 * Keeps the key that signs these reports, and notes since when others do not sign any more. Writes nothing while the same
 * key signs.
 */
export function noteKey(db: Database, rows: string, signer: Signer | null, now: number) {
  const { kid, jwk } = signer ?? NO_KEY;
  const isUsed = sql`${kid} <> '' and ${rows} <> '[]'`;
  return [
    insertFrom(
      db,
      reportKeys,
      { kid, jwk, createdAt: now, retiredAt: null },
      sql`where ${isUsed}`,
    ).onConflictDoUpdate({
      target: reportKeys.kid,
      set: { retiredAt: null },
      setWhere: isNotNull(reportKeys.retiredAt),
    }),
    db
      .update(reportKeys)
      .set({ retiredAt: now })
      .where(and(isUsed, ne(reportKeys.kid, kid), isNull(reportKeys.retiredAt))),
  ] as const;
}

/** Far more than any deployment has. */
export const MAX_KEYS = 1_000;

/** All keys that have signed a report, the newest first. One round trip. */
export function listKeys(db: Database) {
  const { kid, jwk, createdAt, retiredAt } = reportKeys;
  return db
    .select({ kid, jwk, createdAt, retiredAt })
    .from(reportKeys)
    .orderBy(desc(reportKeys.id))
    .limit(MAX_KEYS);
}
