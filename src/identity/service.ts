import type { Database } from "../db/client.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import { type Actor, type Credential, ROLES, type Role } from "./actor.ts";
import { findApiTokenOwner, findSessionOwner } from "./store.ts";
import type { Tokens } from "./tokens.ts";

/** Locking, revoking or demoting takes effect everywhere within this time (contract §3). */
const ACTOR_CACHE_MS = 30 * SECOND_MS;

/** What the bearer of a job's token may do. */
export interface JobPass {
  jobId: number;
  /** Whether nodes may still join and report. */
  works: boolean;
  /** Whether it shows the job's detail: of jobs without an account. */
  reads: boolean;
}

export interface Identity {
  /** What a user token or an API token stands for, or null for any other token. No round trip. */
  credentialOf(token: string): Promise<Credential | null>;
  /**
   * The person as they are now; null when the credential has ended, or the person is locked or gone.
   * One round trip when they are not cached.
   */
  actorOf(db: Database, credential: Credential): Promise<Actor | null>;
  /** What a job token is good for now, or null for any other token. No round trip. */
  jobPassOf(token: string): Promise<JobPass | null>;
  /** Whose token it is, of whatever kind, or null for one that is valid nowhere. No round trip. */
  holderOf(token: string): Promise<{ kind: "user" | "node"; id: string } | null>;
  /** What has just changed about a person holds in this isolate at once. */
  forget(userUuid: string): void;
}

export function createIdentity({ tokens, clock }: { tokens: Tokens; clock: Clock }): Identity {
  const actors = new BoundedCache<Actor>({ maxEntries: 5_000, maxAgeMs: ACTOR_CACHE_MS, clock });
  /** Counts what has been forgotten: what was read before must not be remembered after. */
  let forgotten = 0;
  return {
    async credentialOf(token) {
      const user = await tokens.verify("user", token);
      if (user?.sid !== undefined) return { kind: "session", userUuid: user.sub, uuid: user.sid };
      const api = await tokens.verify("api", token);
      if (api?.jti === undefined) return null;
      return { kind: "api_token", userUuid: api.sub, uuid: api.jti };
    },
    async actorOf(db, credential) {
      const cached = actors.get(credential.uuid);
      if (cached !== undefined) return cached;
      const find = credential.kind === "session" ? findSessionOwner : findApiTokenOwner;
      // Read now, known for 30 s from now: the round trip does not count in its favour.
      const now = clock.now();
      const before = forgotten;
      const row = await find(db, credential.uuid, now);
      if (row === null || row.locked || row.uuid !== credential.userUuid) return null;
      const { id, uuid, customerId, role } = row;
      const actor = { userId: id, userUuid: uuid, customerId, role: parseRole(role), credential };
      if (forgotten === before) actors.set(credential.uuid, actor, now);
      return actor;
    },
    async jobPassOf(token) {
      const claims = await tokens.verify("job", token);
      if (claims === null) return null;
      const { sub, work_until: workUntil } = claims;
      const works = workUntil === undefined || clock.now() < workUntil * SECOND_MS;
      return { jobId: Number(sub), works, reads: workUntil !== undefined };
    },
    async holderOf(token) {
      const found = await tokens.identify(token);
      if (found === null) return null;
      return { kind: found.kind === "job" ? "node" : "user", id: found.claims.sub };
    },
    forget(userUuid) {
      forgotten++;
      actors.deleteWhere((actor) => actor.userUuid === userUuid);
    },
  };
}

export function parseRole(value: string): Role {
  const role = ROLES.find((known) => known === value);
  if (role === undefined) throw new Error(`Unknown role in the database: ${value}`);
  return role;
}
