/** Everyone who may knock: one of each kind of credential, good and bad. */

import { env } from "cloudflare:workers";
import { decodeJwt, SignJWT } from "jose";
import { vi } from "vitest";
import { apiTokens } from "../../../src/db/schema.ts";
import { ANONYMOUS } from "../../../src/identity/anonymous.ts";
import { jobTokenOf } from "../../../src/identity/job-token.ts";
import { hashPassword } from "../../../src/identity/password-hash.ts";
import { type Claims, createTokens, type TokenKind } from "../../../src/identity/tokens.ts";
import { drawUserKey } from "../../../src/identity/user-keys.ts";
import { DAY_MS, HOUR_MS, systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import type { Role, TokenScope } from "../../../src/lib/enums.ts";
import { hashOfKey } from "../../../src/lib/keys.ts";
import { call, join, machineUuid, putResult, tokens, V0 } from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  createRunner,
  type Person,
  signedIn,
  type TestJob,
  type TestRunner,
} from "../harness/factories.ts";
import { farAhead, reported } from "../harness/instruments.ts";
import { db, endSessions, setUser } from "../harness/rows.ts";

export const PASSWORD = "correct horse battery staple";

/** People with a good token: what they may do depends on the operation. */
export const PEOPLE = [
  "owner",
  "owner's API token",
  "owner's API key",
  "colleague",
  "customer_admin",
  "staff",
  "root_admin",
  "root_admin's API token",
  "root_admin's reading token",
  "root_admin of an hour ago",
  "foreign user",
  "foreign customer_admin",
  "foreign staff",
  "foreign root_admin",
] as const;
export type PersonName = (typeof PEOPLE)[number];

/** Agents with a good token of a job. */
export const MACHINES = [
  "own job",
  "another job",
  "ended job",
  "job without an account",
  "read without an account",
] as const;
export type MachineName = (typeof MACHINES)[number];

/** Runners with a good key of their own. */
export const RUNNERS = ["runner key", "another runner's key"] as const;
export type RunnerName = (typeof RUNNERS)[number];

/** Tokens, and none, that must be refused wherever a token is needed. */
export const OUTSIDERS = [
  "no token",
  "malformed",
  "expired",
  "wrong signature",
  "alg none",
  "another algorithm",
  "wrong typ",
  "wrong audience",
  "wrong issuer",
  "unknown key id",
  "refresh token",
  "task's token",
  "password link's token",
  "ended session",
  "locked person",
  "deleted person",
  "revoked API token",
  "expired API token",
  "unknown API key",
  "revoked API key",
  "expired API key",
  "locked person's API key",
  "rotated runner key",
  "archived runner's key",
] as const;
export type OutsiderName = (typeof OUTSIDERS)[number];

export interface Principals {
  people: Record<PersonName, string>;
  machines: Record<MachineName, string>;
  runners: Record<RunnerName, string>;
  outsiders: Record<OutsiderName, string | null>;
  persons: Record<"owner" | "colleague" | "customer_admin" | "foreign user", Person>;
  /** Of the owner: one that machines have joined, and whose token is `own job`. */
  job: TestJob;
  taskId: string;
  /** The machine of that task. */
  machineUuid: string;
  /** Of the owner: one that has ended, and whose token is `ended job`. */
  ended: TestJob;
  /** The runner whose key is `runner key`. */
  runner: TestRunner;
}

export async function createPrincipals(): Promise<Principals> {
  // No alarm fires by itself: a node whose lease is over would be written to D1 in the middle of a long run.
  vi.spyOn(systemClock, "now").mockImplementation(farAhead);
  const [customerId, otherId] = [await createCustomer(), await createCustomer()];
  const passwordHash = await hashPassword(PASSWORD);
  const person = (role: Role, foreign = false) =>
    createPerson({ role, passwordHash, customerId: foreign ? otherId : customerId });
  const owner = await person("user");
  const colleague = await person("user");
  const admin = await person("customer_admin");
  const foreign = await person("user", true);

  const [root, lastSeen] = [await person("root_admin"), await person("root_admin")];

  const job = await createJob({ node_count: 8 }, owner);
  const joined = await join(job);
  const taskId = String(joined.body.id);
  const another = await createJob({ node_count: 8 }, owner);
  const ended = await createJob({}, owner);
  await putResult(ended, (await join(ended)).body.id, 0);
  // Nothing is written by itself from here on.
  await reported(ended);

  const runner = await createRunner();
  const dead = await deadKeys(runner);

  return {
    people: {
      owner: owner.token,
      "owner's API token": await apiToken(owner),
      "owner's API key": (await userKey(owner)).key,
      colleague: colleague.token,
      customer_admin: admin.token,
      staff: (await person("staff")).token,
      root_admin: root.token,
      "root_admin's API token": await apiToken(root),
      "root_admin's reading token": await apiToken(root, { scope: "read" }),
      "root_admin of an hour ago": await signedIn(lastSeen, { at: systemClock.now() - HOUR_MS }),
      "foreign user": foreign.token,
      "foreign customer_admin": (await person("customer_admin", true)).token,
      "foreign staff": (await person("staff", true)).token,
      "foreign root_admin": (await person("root_admin", true)).token,
    },
    machines: {
      "own job": job.token,
      "another job": another.token,
      "ended job": ended.token,
      "job without an account": await tokenWithoutAccount(),
      "read without an account": await readingToken(),
    },
    runners: { "runner key": runner.key, "another runner's key": (await createRunner()).key },
    outsiders: { ...(await outsidersLike(owner, taskId)), ...dead },
    persons: { owner, colleague, customer_admin: admin, "foreign user": foreign },
    job,
    taskId,
    machineUuid: joined.body.machine_uuid,
    ended,
    runner,
  };
}

/** Of a live job that a machine has joined. */
async function tokenWithoutAccount(): Promise<string> {
  const { token } = (await call("POST", "/jobs/anonymous")).body;
  const body = { machine_uuid: machineUuid() };
  await call("POST", "/jobs/current/tasks", { token, body });
  return token;
}

/** Of a job that was made without an account two days ago. */
async function readingToken(): Promise<string> {
  const { id } = (await call("POST", "/jobs/anonymous")).body;
  const { signingKeyId } = await tokens();
  const facts = {
    id: Number(id),
    userId: ANONYMOUS.userId,
    nodeCount: 1,
    tokenKeyId: signingKeyId,
    createdAt: systemClock.now() - 2 * DAY_MS,
    expiresAt: systemClock.now() - DAY_MS,
  };
  return jobTokenOf(await createTokens(readConfig(env).tokenSecrets, systemClock), facts);
}

type DeadKey = "rotated runner key" | "archived runner's key";

/** Keys that have been good: one that `runner` had before, and one of an archived runner. */
async function deadKeys(runner: TestRunner): Promise<Record<DeadKey, string>> {
  const { token } = await createPerson({ role: "root_admin" });
  const rotated = runner.key;
  const again = await call("POST", `${V0}/runners/${runner.uuid}/key`, { token });
  runner.key = again.body.key;
  const archived = await createRunner();
  const path = `${V0}/runners/${archived.uuid}`;
  await call("PATCH", path, { token, body: { archived: true } });
  return { "rotated runner key": rotated, "archived runner's key": archived.key };
}

/** Good for nothing, each for one reason alone: the rest of them is as the owner's. */
async function outsidersLike(
  owner: Person,
  taskId: string,
): Promise<Record<Exclude<OutsiderName, DeadKey>, string | null>> {
  const { sid } = decodeJwt(owner.token);
  const { signingKeyId } = await tokens();
  const [secret = ""] = readConfig(env).tokenSecrets;
  const forge = (change: Record<string, string> = {}, expires = systemClock.now() + 3_600_000) =>
    new SignJWT({ sid })
      .setProtectedHeader({
        alg: change.alg ?? "HS256",
        typ: change.typ ?? "user+jwt",
        kid: change.kid ?? signingKeyId,
      })
      .setSubject(owner.uuid)
      .setIssuer(change.iss ?? "assay")
      .setAudience(change.aud ?? "assay:user")
      .setExpirationTime(Math.floor(expires / 1_000))
      .sign(new TextEncoder().encode(change.secret ?? secret));
  const good = await forge();
  if ((await call("GET", "/jobs", { token: good })).status !== 200) {
    throw new Error("A token forged with everything right must work, or the others prove nothing");
  }
  const [, payload] = good.split(".");
  const header = btoa(JSON.stringify({ alg: "none", typ: "user+jwt", kid: signingKeyId }));

  const [ended, locked, deleted] = [
    await createPerson(),
    await createPerson(),
    await createPerson(),
  ];
  await endSessions(ended);
  await setUser(locked, { locked: true });
  await setUser(deleted, { deletedAt: 1 });
  const now = systemClock.now();
  return {
    "no token": null,
    malformed: "not.a.token",
    expired: await forge({}, now - 60_000),
    "wrong signature": await forge({ secret: "another-secret-of-at-least-32-characters" }),
    "alg none": `${header.replaceAll("=", "")}.${payload}.`,
    "another algorithm": await forge({ alg: "HS512" }),
    "wrong typ": await forge({ typ: "JWT" }),
    "wrong audience": await forge({ aud: "assay:job" }),
    "wrong issuer": await forge({ iss: "somebody" }),
    "unknown key id": await forge({ kid: "whatever" }),
    "refresh token": await ofKind("refresh", { sub: owner.uuid, sid: String(sid), gen: 1 }),
    "task's token": await ofKind("task", { sub: taskId, epoch: 0 }),
    "password link's token": await ofKind("password", { sub: owner.uuid, gen: 0 }),
    "ended session": ended.token,
    "locked person": locked.token,
    "deleted person": deleted.token,
    "revoked API token": await apiToken(owner, { revokedAt: now }),
    "expired API token": await apiToken(owner, { expiresAt: now - 1_000 }),
    "unknown API key": drawUserKey(),
    "revoked API key": (await userKey(owner, { revokedAt: now })).key,
    "expired API key": (await userKey(owner, { expiresAt: now - 1_000 })).key,
    "locked person's API key": (await userKey(locked)).key,
  };
}

async function ofKind(kind: TokenKind, claims: Claims): Promise<string> {
  const now = systemClock.now();
  return (await tokens()).sign(kind, claims, { from: now, until: now + 3_600_000 });
}

/** An API token of a person, straight into the database: in states that the API does not make. */
export async function apiToken(
  person: { id: number; uuid: string },
  {
    revokedAt = null,
    expiresAt,
    scope = "write",
  }: { revokedAt?: number | null; expiresAt?: number; scope?: TokenScope } = {},
): Promise<string> {
  const uuid = crypto.randomUUID();
  const signer = await tokens();
  const now = systemClock.now();
  await db.insert(apiTokens).values({
    uuid,
    userId: person.id,
    name: "test",
    scope,
    keyId: signer.signingKeyId,
    createdAt: now,
    expiresAt: expiresAt ?? now + 3_600_000,
    revokedAt,
  });
  // The signature is good for longer than the row: the row decides.
  return signer.sign("api", { sub: person.uuid, jti: uuid }, { from: now, until: null });
}

/** A key of a person, straight into the database. */
export async function userKey(
  person: { id: number },
  { revokedAt = null, expiresAt }: { revokedAt?: number | null; expiresAt?: number } = {},
): Promise<{ uuid: string; key: string }> {
  const key = drawUserKey();
  const uuid = crypto.randomUUID();
  const now = systemClock.now();
  await db.insert(apiTokens).values({
    uuid,
    userId: person.id,
    name: "test",
    keyHash: hashOfKey(key),
    createdAt: now,
    expiresAt: expiresAt ?? now + 3_600_000,
    revokedAt,
  });
  return { uuid, key };
}
