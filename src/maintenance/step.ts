import type { CallCoordinator } from "../coordinator/client.ts";
import type { Bucket } from "../db/bucket.ts";
import type { Database, Meter } from "../db/client.ts";
import type { Clock } from "../lib/clock.ts";
import type { Config } from "../lib/config.ts";
import type { LobbyNamespace } from "../lobbies/client.ts";

/** Context of one cron tick, shared by its steps. */
export interface StepContext {
  db: Database;
  bucket: Bucket;
  assets: Fetcher;
  callCoordinator: CallCoordinator;
  lobbies: LobbyNamespace;
  /** Counts every call of D1, objects and R2 in this tick. */
  meter: Meter;
  config: Config;
  clock: Clock;
  /** Calls that may still start in this tick; 0 when its time is over. */
  callsLeft: () => number;
  /** False when a step must start nothing more. */
  goOn: () => boolean;
}

/** One duty of cron; answers the figures that the tick's log line shows. */
export type Step = (context: StepContext) => Promise<object>;
