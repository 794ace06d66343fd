/** Who calls, in a plain Worker: tokens are verified and looked up, then remembered for 30 s; callers are counted. */
import { drizzle } from "drizzle-orm/d1";
import { HTTPException } from "hono/http-exception";
import { jwtVerify, SignJWT } from "jose";
import { keyIdOf } from "../../src/identity/lifetimes.ts";
import { findSessionOwner } from "../../src/identity/store.ts";
import { hashOfKey } from "../../src/lib/keys.ts";
import { findByKey } from "../../src/runners/claim-store.ts";
import type { BaselineEnv } from "./env.ts";

export type Kind = "user" | "job" | "task" | "runner";

export interface Caller {
  id: string;
  /** Of a person. */
  userId: number;
  customerId: number;
  /** Of a runner. */
  specs: readonly string[];
}

const REMEMBERED_MS = 30_000;
const WINDOW_MS = 10_000;
const LIMITS: Record<Kind, number> = { user: 500, job: 5_000, task: 5_000, runner: 100 };

const known = new Map<string, { caller: Caller; until: number }>();
const windows = new Map<string, { from: number; count: number }>();
let secret: Uint8Array | undefined;

const secretOf = (env: BaselineEnv) => (secret ??= new TextEncoder().encode(env.TOKEN_SECRET));

/** Throws 401 for any other token. */
export async function callerOf(env: BaselineEnv, kind: Kind, token: string): Promise<Caller> {
  const now = Date.now();
  const remembered = known.get(token);
  if (remembered !== undefined && remembered.until > now) return remembered.caller;
  const caller = await (kind === "runner" ? findRunner(env, token) : findHolder(env, kind, token));
  if (caller === null) throw new HTTPException(401);
  if (known.size >= 10_000) known.clear();
  known.set(token, { caller, until: now + REMEMBERED_MS });
  return caller;
}

async function findHolder(env: BaselineEnv, kind: Kind, token: string): Promise<Caller | null> {
  const { payload } = await jwtVerify(token, secretOf(env), {
    algorithms: ["HS256"],
    issuer: "assay",
    audience: `assay:${kind}`,
    typ: `${kind}+jwt`,
  });
  const { sub: id = "", sid } = payload;
  if (kind !== "user") return { id, userId: 0, customerId: 0, specs: [] };
  const row = await findSessionOwner(drizzle(env.DB), String(sid), Date.now());
  if (row === null || row.locked) return null;
  return { id, userId: row.id, customerId: row.customerId, specs: [] };
}

async function findRunner(env: BaselineEnv, token: string): Promise<Caller | null> {
  const [uuid = "", key = ""] = token.split(" ");
  const row = await findByKey(drizzle(env.DB), { uuid }, hashOfKey(key), Date.now(), null);
  if (row === null || row.keyHash !== hashOfKey(key)) return null;
  return { id: uuid, userId: 0, customerId: 0, specs: row.specs };
}

/** Throws 429 above the limit. */
export function countCall(kind: Kind, { id }: Caller, scale: number): void {
  const now = Date.now();
  const window = windows.get(id);
  if (windows.size >= 10_000) windows.clear();
  if (window === undefined || now - window.from > WINDOW_MS) {
    windows.set(id, { from: now, count: 1 });
    return;
  }
  if (++window.count > LIMITS[kind] * scale) throw new HTTPException(429);
}

/** A job's token, derived from its row. */
export function jobTokenOf(
  env: BaselineEnv,
  job: { id: number; nodeCount: number; createdAt: number; expiresAt: number },
): Promise<string> {
  return new SignJWT({ sub: String(job.id), nodes: job.nodeCount })
    .setProtectedHeader({ alg: "HS256", typ: "job+jwt", kid: keyIdOf(env.TOKEN_SECRET) })
    .setIssuer("assay")
    .setAudience("assay:job")
    .setIssuedAt(Math.floor(job.createdAt / 1_000))
    .setExpirationTime(Math.floor(job.expiresAt / 1_000))
    .sign(secretOf(env));
}
