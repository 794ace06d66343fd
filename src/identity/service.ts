import type { Database } from "../db/client.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import { type Actor, ROLES, type Role } from "./actor.ts";
import { verifyPassword } from "./password.ts";
import { findUserByEmail, findUserByUuid } from "./store.ts";
import type { Tokens } from "./tokens.ts";

/** Locking or demoting someone takes effect everywhere within this time (contract §3). */
const ACTOR_CACHE_MS = 30 * SECOND_MS;

export interface Identity {
  /** The UUID of the person whose user token this is, or null. No round trip. */
  userOf(token: string): Promise<string | null>;
  /** The person as they are now, or null when unknown or locked. One round trip when the row is not cached. */
  actorOf(db: Database, uuid: string): Promise<Actor | null>;
  /** A user token for the right password, or null. One round trip, and the time of one hash either way. */
  signIn(
    db: Database,
    email: string,
    password: string,
  ): Promise<{ token: string; expiresInSeconds: number } | null>;
  /** The job a job token stands for, or null. No round trip. */
  jobOf(token: string): Promise<number | null>;
}

export function createIdentity({ tokens, clock }: { tokens: Tokens; clock: Clock }): Identity {
  const actors = new BoundedCache<Actor>({ maxEntries: 5_000, maxAgeMs: ACTOR_CACHE_MS, clock });
  return {
    userOf: (token) => tokens.verifyUser(token),
    async actorOf(db, uuid) {
      const cached = actors.get(uuid);
      if (cached !== undefined) return cached;
      const row = await findUserByUuid(db, uuid);
      if (row === null || row.locked) return null;
      const { id, customerId, role } = row;
      const actor = { userId: id, userUuid: uuid, customerId, role: parseRole(role) };
      actors.set(uuid, actor);
      return actor;
    },
    async signIn(db, email, password) {
      const row = await findUserByEmail(db, email);
      const fits = await verifyPassword(password, row?.passwordHash ?? null);
      return row !== null && fits && !row.locked ? tokens.signUser(row.uuid) : null;
    },
    jobOf: (token) => tokens.verifyJob(token),
  };
}

function parseRole(value: string): Role {
  const role = ROLES.find((known) => known === value);
  if (role === undefined) throw new Error(`Unknown role in the database: ${value}`);
  return role;
}
