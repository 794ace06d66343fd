/** What the platform charges beyond what its paid plan includes, USD a unit. */
import type { Counts } from "./cost-stage.ts";

const MILLION = 1_000_000;
const WORKERS = "developers.cloudflare.com/workers/platform/pricing";
const OBJECTS = "developers.cloudflare.com/durable-objects/platform/pricing";
const D1 = "developers.cloudflare.com/d1/platform/pricing";
const R2 = "developers.cloudflare.com/r2/pricing";
const LOGS = "developers.cloudflare.com/workers/observability/logs/workers-logs";
const READ = "2026-11-29";

interface Price {
  usd: number;
  source: string;
  /** Day on which the source said so. */
  read: string;
}

/** Messages of clients that are billed as one request; automatic replies to pings are free. */
const MESSAGES_A_REQUEST = 20;

export const PRICES: Readonly<Record<keyof Counts, Price>> = {
  requests: { usd: 0.3 / MILLION, source: WORKERS, read: READ },
  objectRequests: { usd: 0.15 / MILLION, source: OBJECTS, read: READ },
  alarms: { usd: 0.15 / MILLION, source: OBJECTS, read: READ },
  messages: { usd: 0.15 / MILLION / MESSAGES_A_REQUEST, source: OBJECTS, read: READ },
  objectRows: { usd: 1 / MILLION, source: OBJECTS, read: READ },
  d1Reads: { usd: 0.001 / MILLION, source: D1, read: READ },
  d1Rows: { usd: 1 / MILLION, source: D1, read: READ },
  logLines: { usd: 0.6 / MILLION, source: LOGS, read: READ },
  r2Writes: { usd: 4.5 / MILLION, source: R2, read: READ },
  r2Reads: { usd: 0.36 / MILLION, source: R2, read: READ },
};

export const NAMES: Readonly<Record<keyof Counts, string>> = {
  requests: "requests",
  objectRequests: "object requests",
  alarms: "alarms",
  messages: "messages (20 a request)",
  objectRows: "rows written in objects",
  d1Reads: "rows read in D1",
  d1Rows: "rows written in D1",
  logLines: "log lines",
  r2Writes: "R2 writes",
  r2Reads: "R2 reads",
};

/** USD of what was counted. */
export function costOf(counts: Counts): number {
  return COUNTED.reduce((usd, kind) => usd + counts[kind] * PRICES[kind].usd, 0);
}

// The names are those of the table, which is complete by its type.
export const COUNTED = Object.keys(PRICES) as (keyof Counts)[];
