import { createHash } from "node:crypto";
import { MINUTE_MS } from "../lib/clock.ts";

/** A lobby says this often that it is there, and looks for runners that have fallen silent. */
export const RENEW_MS = 15 * MINUTE_MS;

/** A runner that asks to wait. */
export interface Waiting {
  id: number;
  uuid: string;
  keyHash: string;
  /** UUIDs of all specs that it offers, archived ones too, sorted. */
  offered: readonly string[];
}

/** Why a runner gets no socket. `stale`: its key, its archiving or its offers have changed. */
export type Turned = "stale" | "full" | "unavailable";

/** The calls of a lobby. Besides, `fetch` with a `Waiting` in the header `waiting` opens a socket. */
export interface LobbyCalls {
  /**
   * Tells runners that there is work: those named, and so many others, the longest not told first. Says nothing of a
   * job, since a claim decides.
   *
   * @param runners ids
   * @returns the number of others that were told
   */
  wake(count: number, runners: readonly number[]): Promise<number>;
  /** Closes the socket of a runner whose key, archiving or offers have changed. */
  dismiss(uuid: string): Promise<void>;
}

/** The name of the object in which runners wait that offer these specs, sorted. */
export function lobbyOf(offered: readonly string[]): string {
  return createHash("sha256").update(offered.join()).digest("base64url").slice(0, 22);
}
