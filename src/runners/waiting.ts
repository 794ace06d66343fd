/** Sockets of runners that wait for jobs. Loads with the first of them. */
import type { Database } from "../db/client.ts";
import { invalid, unauthorized, unavailable } from "../http/errors.ts";
import { type LobbyCall, openSocket } from "../lobbies/client.ts";
import type { AuthenticatedRunner, RunnerAuth } from "./runner-auth.ts";

/** What an isolate remembers of a runner may be old once. */
const TRIES = 2;
const FULL_SECONDS = 60;

/**
 * A socket of the lobby for what the runner offers. One hop; a second one, and a round trip, if the runner has changed
 * since this isolate read it.
 */
export async function waitForWork(options: {
  runner: AuthenticatedRunner;
  key: string;
  db: Database;
  lobby: LobbyCall;
  hint: DurableObjectLocationHint | undefined;
  runnerAuth: RunnerAuth;
}): Promise<WebSocket> {
  const { key, db, lobby, hint, runnerAuth } = options;
  let { runner } = options;
  for (let left = TRIES; left > 0; left--) {
    const { id, uuid, keyHash, offered } = runner;
    const opened = await openSocket(lobby, { id, uuid, keyHash, offered }, hint);
    if (typeof opened !== "string") return opened;
    if (opened !== "stale") {
      throw unavailable(opened === "full" ? FULL_SECONDS : 2, new Error(`lobby says ${opened}`));
    }
    runnerAuth.forget(uuid);
    const known = await runnerAuth.find(db, { uuid }, key, false);
    if (known === null) throw unauthorized(invalid("runner key"));
    runner = known;
  }
  throw unavailable(2, new Error("the runner keeps changing"));
}
