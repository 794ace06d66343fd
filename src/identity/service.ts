import type { Database } from "../db/client.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import { hashOfKey } from "../lib/keys.ts";
import { type Actor, type Credential, credentialId } from "./actor.ts";
import { epochOf, type TaskTokenFacts } from "./job-token.ts";
import { findApiTokenOwner, findSessionOwner } from "./store.ts";
import type { Tokens } from "./tokens.ts";
import { USER_KEY } from "./user-keys.ts";

/** Locks, role changes and revocations take effect everywhere within this time. */
const ACTOR_CACHE_MS = 30 * SECOND_MS;

/** Nodes of a job whose token does not name their number. */
const MAX_NODES = 256;

/** The rights of a job token's bearer. */
export interface JobPass {
  jobId: number;
  /** Number of nodes that the job expects. */
  nodes: number;
  /** Nodes may still join and report. */
  works: boolean;
  /** The token shows the job's detail: only that of a job created without an account. */
  reads: boolean;
  taskTokens: TaskTokenFacts;
}

/** Identifies the holders of tokens. */
export class Identity {
  readonly #tokens: Tokens;
  readonly #clock: Clock;
  readonly #actors: BoundedCache<Actor>;
  /** Counts calls of `forget`: a row read before one must not be remembered after it. */
  #forgotten = 0;

  constructor({ tokens, clock }: { tokens: Tokens; clock: Clock }) {
    this.#tokens = tokens;
    this.#clock = clock;
    this.#actors = new BoundedCache({ maxEntries: 5_000, maxAgeMs: ACTOR_CACHE_MS, clock });
  }

  /** The credential of a user token, an API token or a key's form; null for any other token. No round trip. */
  async credentialOf(token: string): Promise<Credential | null> {
    if (USER_KEY.test(token)) return { kind: "user_key", hash: hashOfKey(token) };
    const user = await this.#tokens.verify("user", token);
    if (user?.sid !== undefined) return { kind: "session", userUuid: user.sub, uuid: user.sid };
    const api = await this.#tokens.verify("api", token);
    if (api?.jti === undefined) return null;
    return { kind: "api_token", userUuid: api.sub, uuid: api.jti };
  }

  /** The person, if this isolate has read them lately. No round trip. */
  remembered(credential: Credential): Actor | null {
    return this.#actors.get(credentialId(credential)) ?? null;
  }

  /**
   * The person, at most 30 s old; null when the credential has ended, or the person is locked or deleted.
   * One round trip unless cached.
   */
  async actorOf(db: Database, credential: Credential): Promise<Actor | null> {
    const cached = this.remembered(credential);
    if (cached !== null) return cached;
    // The 30 s count from before the read: the row may have changed during the round trip.
    const now = this.#clock.now();
    const before = this.#forgotten;
    const row =
      credential.kind === "session"
        ? await findSessionOwner(db, credential.uuid, now)
        : await findApiTokenOwner(db, credential, now);
    if (row === null || row.locked) return null;
    if (credential.kind !== "user_key" && row.uuid !== credential.userUuid) return null;
    const { id, uuid, customerId, role, scope, signedInAt } = row;
    const actor = { userId: id, userUuid: uuid, customerId, role, credential, scope, signedInAt };
    if (this.#forgotten === before) this.#actors.set(credentialId(credential), actor, now);
    return actor;
  }

  /** The rights that a job token gives now; null for any other token. No round trip. */
  async jobPassOf(token: string): Promise<JobPass | null> {
    const verified = await this.#tokens.read("job", token);
    if (verified === null) return null;
    const { claims, validity, keyId } = verified;
    const { sub, nodes = MAX_NODES, work_until: workUntil } = claims;
    // A job's token always ends.
    const until = workUntil === undefined ? (validity.until ?? 0) : workUntil * SECOND_MS;
    return {
      jobId: Number(sub),
      nodes,
      works: this.#clock.now() < until,
      reads: workUntil !== undefined,
      taskTokens: { keyId, from: validity.from, until },
    };
  }

  /** As `epochOf`. No round trip. */
  epochOf(token: string, taskId: number): Promise<number> {
    return epochOf(this.#tokens, token, taskId);
  }

  /** The holder of a token of any kind; null for an invalid token. No round trip. */
  async holderOf(token: string): Promise<{ kind: "user" | "node"; id: string } | null> {
    const valid = await this.#tokens.identify(token);
    if (valid === null) return null;
    const isOfNode = valid.kind === "job" || valid.kind === "task";
    return { kind: isOfNode ? "node" : "user", id: valid.claims.sub };
  }

  /** Makes a change of a person take effect in this isolate at once. */
  forget(userUuid: string): void {
    this.#forgotten++;
    this.#actors.deleteWhere((actor) => actor.userUuid === userUuid);
  }
}
