/** Limits on tries of passwords, wherever one is tried. */
import { and, eq, inArray, lte, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { insertFrom } from "../../db/insert-from.ts";
import { knownAddresses, signInFailures, users } from "../../db/schema.ts";
import { ApiError } from "../../http/errors.ts";
import { networkOf } from "../../http/rate-limit.ts";
import { MINUTE_MS, SECOND_MS } from "../../lib/clock.ts";
import { KNOWN_ADDRESS_MS, SIGN_IN_FAILURES_LIFETIME_MS } from "../lifetimes.ts";

/**
 * The wait of a network after failures in a row: none after the first ones, since people mistype, then twice as long
 * each time. docs/security.md counts the guesses that this leaves.
 */
const FREE_FAILURES = 4;
const FIRST_WAIT_MS = SECOND_MS;
const LONGEST_WAIT_MS = 15 * MINUTE_MS;
/** All networks together try one password of an account in this time. */
const PAUSE_MS = 5 * SECOND_MS;
/** The row of all networks. */
const ALL = "";

/** Each failure deletes at most this many expired rows: more than it adds, and never all at once. */
const MAX_CLEARED = 100;
const MAX_KNOWN_ADDRESSES = 20;

/** A try of a password. */
export interface Attempt {
  /** Matches the person, at most one. */
  target: SQL;
  /** The name of the account where no person matches. */
  unknown: string;
  /** As `addressOf` gives it. */
  address: string;
  /** The platform has counted too many tries from this network: only a known address may go on. */
  isCrowded: boolean;
  /** This many failures count as one. */
  scale: number;
}

/**
 * Admits a try, and answers the person; throws 429 while the account has to wait. Unknown accounts wait as well. The
 * try counts as a failure until it succeeds, in the same transaction: of many simultaneous ones, each meets the wait
 * of those before it. A known address waits for its own failures alone. One batch, one round trip.
 */
export async function beginAttempt(
  db: Database,
  { target, unknown, address, isCrowded, scale }: Attempt,
  now: number,
) {
  const { failures, retryAt } = signInFailures;
  const person = (column: SQL) => sql`(select ${column} from ${users} where ${target})`;
  const account = sql`coalesce(${person(sql`${users.uuid}`)}, ${unknown})`;
  const isKnown = sql`exists (select 1 from ${knownAddresses} where ${knownAddresses.userId} = ${person(sql`${users.id}`)} and ${knownAddresses.address} = ${address} and ${knownAddresses.signedInAt} > ${now - KNOWN_ADDRESS_MS})`;
  const place = sql`iif(${isKnown}, ${address}, ${networkOf(address)})`;
  const waits = sql`${signInFailures.account} = ${account} and ${retryAt} > ${now} and (${signInFailures.network} = ${place} or (${signInFailures.network} = ${ALL} and not ${isKnown}))`;
  const expired = sql`${retryAt} <= ${now - SIGN_IN_FAILURES_LIFETIME_MS}`;
  const counted = sql`case when ${expired} then 1 else ${failures} + 1 end`;
  const doublings = sql`((${counted}) / ${scale} - ${FREE_FAILURES} - 1)`;
  const wait = sql`case when ${doublings} < 0 then 0 else min(${LONGEST_WAIT_MS}, ${FIRST_WAIT_MS} << min(${doublings}, 20)) end`;
  const row = { account, failures: 1, retryAt: now };
  const [people, waiting, admitted] = await db.batch([
    db
      .select({
        id: users.id,
        uuid: users.uuid,
        customerId: users.customerId,
        locked: users.locked,
        passwordHash: users.passwordHash,
      })
      .from(users)
      .where(target),
    db
      .select({ until: sql<number | null>`max(${retryAt})` })
      .from(signInFailures)
      .where(waits),
    insertFrom(
      db,
      signInFailures,
      { ...row, network: place },
      sql`where not exists (select 1 from ${signInFailures} where ${waits}) and (${isKnown} or ${isCrowded ? 0 : 1})`,
    )
      .onConflictDoUpdate({
        target: [signInFailures.account, signInFailures.network],
        set: { failures: counted, retryAt: sql`${now} + ${wait}` },
      })
      .returning({ failures }),
    insertFrom(
      db,
      signInFailures,
      { account, network: ALL, failures: 0, retryAt: now + Math.floor(PAUSE_MS / scale) },
      sql`where changes() > 0 and not ${isKnown}`,
    ).onConflictDoUpdate({
      target: [signInFailures.account, signInFailures.network],
      set: { retryAt: sql`excluded.retry_at` },
    }),
  ]);
  if (admitted.length === 0) throw tooManyFailures((waiting[0]?.until ?? now + MINUTE_MS) - now);
  return people[0] ?? null;
}

/** Forgets a person's failures from the place of a try that succeeded. */
export function clearFailures(db: Database, personUuid: string, address: string) {
  return db
    .delete(signInFailures)
    .where(
      and(
        eq(signInFailures.account, personUuid),
        inArray(signInFailures.network, [address, networkOf(address)]),
      ),
    );
}

/** Deletes the oldest expired rows. */
export function clearExpiredFailures(db: Database, now: number) {
  const old = db
    .select({ id: sql`rowid` })
    .from(signInFailures)
    .where(lte(signInFailures.retryAt, now - SIGN_IN_FAILURES_LIFETIME_MS))
    .orderBy(signInFailures.retryAt)
    .limit(MAX_CLEARED);
  return db.delete(signInFailures).where(sql`rowid in ${old}`);
}

/** Makes an address known for the people that match, and forgets all but their newest ones. */
export function rememberAddress(
  db: Database,
  people: SQL | undefined,
  address: string,
  now: number,
) {
  const { userId, signedInAt } = knownAddresses;
  const ids = sql`(select ${users.id} from ${users} where ${people})`;
  const older = sql`select rowid from ${knownAddresses} where ${userId} in ${ids} order by ${signedInAt} desc, rowid desc limit -1 offset ${MAX_KNOWN_ADDRESSES}`;
  return [
    insertFrom(
      db,
      knownAddresses,
      { userId: users.id, address, signedInAt: now },
      sql`from ${users} where ${people}`,
    ).onConflictDoUpdate({
      target: [userId, knownAddresses.address],
      set: { signedInAt: now },
    }),
    db
      .delete(knownAddresses)
      .where(
        and(
          sql`${userId} in ${ids}`,
          sql`(${lte(signedInAt, now - KNOWN_ADDRESS_MS)} or rowid in (${older}))`,
        ),
      ),
  ] as const;
}

function tooManyFailures(waitMs: number): ApiError {
  const seconds = String(Math.ceil(waitMs / SECOND_MS));
  const message = `Too many password attempts on this account; try again in ${seconds} s`;
  return new ApiError("TOO_MANY_REQUESTS", message, {
    headers: { "Retry-After": seconds, RateLimit: `"sign-in-account";r=0;t=${seconds}` },
  });
}
