/** The real Worker without wrangler's proxy, and a person who has signed in there. */
import { join } from "node:path";
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { type LocalWorker, startLocalWorker } from "../../scripts/lib/local-worker.ts";
import { hashPassword } from "../../src/identity/password-hash.ts";
import { addPerson } from "../world/people.ts";

const API = "/api/silicon-mark/v1";
const PASSWORD = "a password of an owner";

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape
export type Json = any;

export interface OwnedWorker {
  worker: LocalWorker;
  /** Sends a request as the person; answers the reply's JSON. */
  ask(method: string, path: string, body?: object): Promise<Json>;
}

/** @param folder that the bundle may be built in */
export async function startOwnedWorker(
  folder: string,
  vars: Record<string, string> = {},
): Promise<OwnedWorker> {
  const settings = { RATE_LIMIT_SCALE: "1000000", ...vars };
  const worker = await startLocalWorker(await buildBundle(join(folder, "worker")), settings);
  const email = "owner@example.com";
  const passwordHash = await hashPassword(PASSWORD);
  await addPerson(worker.db, { email, role: "user", customer: "owners", passwordHash });
  const form = new URLSearchParams({ grant_type: "password", username: email, password: PASSWORD });
  const signedIn = await fetch(new URL("/token", worker.url), { method: "POST", body: form });
  const { access_token: token }: Json = await signedIn.json();
  return {
    worker,
    async ask(method, path, body) {
      const reply = await fetch(new URL(API + path, worker.url), {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return await reply.json();
    },
  };
}
