import { createMeter, openDatabase } from "../db/client.ts";
import type { Reference } from "../lib/references.ts";
import type { LobbyNamespace } from "./client.ts";

/**
 * Wakes runners that wait for jobs of a spec, after the reply that made one: as many as the job `wants`, and two; and
 * those named by their ids. One round trip, and a hop for each lobby until enough were told. Never throws.
 */
export type WakeRunners = (
  spec: Reference,
  options: { wants?: number; runners?: readonly number[] },
) => Promise<void>;

/** Loads with the first call. */
export function createWaker(d1: D1Database, namespace: LobbyNamespace): WakeRunners {
  return async (spec, options) => {
    const { wakeSpec } = await import("./client.ts");
    const meter = createMeter();
    await wakeSpec({ namespace, meter, db: openDatabase(d1, meter) }, spec, options);
  };
}
