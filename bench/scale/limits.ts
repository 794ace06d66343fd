/** Limits of the platform, as published, and an assumption of this project where no figure is published. */
export interface Limit {
  value: number;
  unit: string;
  /** Page that says so; of this project for an assumption. */
  source: string;
  /** Day on which it was read. */
  read: string;
}

const D1 = "developers.cloudflare.com/d1/platform/limits";
const OBJECTS = "developers.cloudflare.com/durable-objects/platform/limits";
const STATE = "developers.cloudflare.com/durable-objects/api/state";
const WORKERS = "developers.cloudflare.com/workers/platform/limits";
const R2 = "developers.cloudflare.com/r2/platform/limits";
const READ = "2026-11-29";

export const LIMITS = {
  d1Bytes: { value: 10e9, unit: "bytes a database", source: D1, read: READ },
  d1CallsPerSecond: {
    value: 100,
    unit: "calls a second: one at a time, assumed to take 10 ms each",
    source: `${D1} (one at a time; 1 ms a query is 1,000 a second, 100 ms is 10)`,
    read: READ,
  },
  objectCallsPerSecond: { value: 1_000, unit: "requests a second", source: OBJECTS, read: READ },
  sockets: { value: 32_768, unit: "sockets an object", source: STATE, read: READ },
  memoryBytes: {
    value: 128 * 1_024 * 1_024,
    unit: "bytes an isolate",
    source: WORKERS,
    read: READ,
  },
  callsPerTick: { value: 1_000, unit: "D1 queries an invocation", source: D1, read: READ },
  r2WritesPerKey: { value: 1, unit: "writes a second of one key", source: R2, read: READ },
  databases: { value: 50_000, unit: "databases an account", source: D1, read: READ },
  askedPerTick: {
    value: 500,
    unit: "objects that a tick asks, each at most every 10 minutes",
    source: "docs/operations.md, What a tick of cron does",
    read: READ,
  },
} as const satisfies Record<string, Limit>;
