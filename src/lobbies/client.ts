/** Calls of lobbies: counted and bounded in time. A lobby that fails costs its runners a minute, until cron wakes them. */
import type { Database, Meter } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { logEvent } from "../lib/log.ts";
import type { Reference } from "../lib/references.ts";
import { retryPlatformCall, withTimeout } from "../lib/retry.ts";
import type { Lobby } from "./lobby.ts";
import { type LobbyCalls, lobbyOf, type Turned, type Waiting } from "./protocol.ts";
import { findLobbies, findWanted } from "./store.ts";

const CALL_TIMEOUT_MS = 5_000;
const ATTEMPTS = 2;
/** Some of those that are told may be gone, or offline in D1. */
const SPARE = 2;

export type LobbyNamespace = DurableObjectNamespace<Lobby>;

/** Calls one lobby. */
async function callLobby<T>(
  { namespace, meter }: { namespace: LobbyNamespace; meter: Meter },
  name: string,
  call: (lobby: LobbyCalls & Pick<Lobby, "fetch">) => Promise<T>,
  hint?: DurableObjectLocationHint,
): Promise<T> {
  const options = hint === undefined ? {} : { locationHint: hint };
  const attempt = () => {
    meter.objectHops++;
    // Arguments and replies are plain data; the platform's stub type wraps them.
    const lobby = namespace.get(namespace.idFromName(name), options) as unknown as LobbyCalls &
      Pick<Lobby, "fetch">;
    return withTimeout(call(lobby), CALL_TIMEOUT_MS, "lobby call");
  };
  return retryPlatformCall(attempt, { attempts: ATTEMPTS });
}

export interface LobbyCall {
  namespace: LobbyNamespace;
  meter: Meter;
}

/** Asks for a socket of the lobby for what a runner offers. One hop, and one round trip of the lobby. */
export async function openSocket(
  lobby: LobbyCall,
  waiting: Waiting,
  hint: DurableObjectLocationHint | undefined,
): Promise<WebSocket | Turned> {
  const headers = { Upgrade: "websocket", waiting: JSON.stringify(waiting) };
  try {
    return await callLobby(
      lobby,
      lobbyOf(waiting.offered),
      async (stub) => {
        const reply = await stub.fetch(new Request("https://lobby/", { headers }));
        // `as`: without a socket, the body says why.
        return reply.webSocket ?? ((await reply.json()) as Turned);
      },
      hint,
    );
  } catch (error) {
    noteFailure(waiting.uuid, error);
    return "unavailable";
  }
}

/** Wakes runners that wait for jobs of a spec: as many as are wanted and two, and those named. */
export async function wakeSpec(
  lobby: LobbyCall & { db: Database },
  spec: Reference,
  { wants = 0, runners = [] }: { wants?: number; runners?: readonly number[] },
): Promise<void> {
  try {
    await wakeLobbies(lobby, await findLobbies(lobby.db, spec), { wants, runners });
  } catch (error) {
    noteFailure(null, error);
  }
}

/** One hop for each lobby, until enough runners were told. */
async function wakeLobbies(
  lobby: LobbyCall,
  names: readonly string[],
  { wants, runners }: { wants: number; runners: readonly number[] },
): Promise<number> {
  let [left, told] = [wants > 0 ? wants + SPARE : 0, 0];
  for (const name of names) {
    if (left <= 0 && runners.length === 0) break;
    try {
      const woken = await callLobby(lobby, name, (stub) => stub.wake(left, runners));
      left -= woken;
      told += woken;
    } catch (error) {
      noteFailure(name, error);
    }
  }
  return told;
}

/** Closes the socket of a runner, if it waits. One hop. */
export async function dismissRunner(lobby: LobbyCall, name: string, uuid: string): Promise<void> {
  try {
    await callLobby(lobby, name, (stub) => stub.dismiss(uuid));
  } catch (error) {
    noteFailure(name, error);
  }
}

/** Wakes runners for all jobs that still want nodes. One round trip, and hops for the specs that have both. */
export async function wakeWanted(
  lobby: LobbyCall & { db: Database },
  times: Parameters<typeof findWanted>[1],
  goOn: () => boolean,
): Promise<{ told: number }> {
  let told = 0;
  for (const { wants, lobbies } of await findWanted(lobby.db, times)) {
    if (!goOn()) break;
    told += await wakeLobbies(lobby, lobbies, { wants, runners: [] });
  }
  return { told };
}

function noteFailure(lobby: string | null, error: unknown): void {
  logEvent("warn", "lobby_failed", { lobby, causes: causesOf(error) });
}
