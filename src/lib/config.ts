import { z } from "@hono/zod-openapi";
import { SECOND_MS } from "./clock.ts";

/** Settings of a deployment, validated once at the edge. */
export interface Config {
  /** The first secret signs, all verify. At least one, each of at least 32 characters. */
  tokenSecrets: readonly string[];
  /** Part of every password's hash; null for none. */
  passwordPepper: string | null;
  /** Lets its holder create the first administrator; null for nobody. */
  setupToken: string | null;
  /** A node out of contact for longer is lost. */
  nodeTimeoutMs: number;
  /** A node with an open socket is looked for this often. */
  socketCheckMs: number;
  /** Number of requests that rate limits count as one. */
  rateLimitScale: number;
  /** Cron warns of a database of this size. */
  databaseWarningBytes: number;
  /** The log has one in this many polls, heartbeats and idle claims that succeed. */
  routineLogOneIn: number;
  /** Replies have a `Server-Timing` header with their costs. */
  isDevelopment: boolean;
  site: SiteConfig;
  rating: RatingRules;
  quotas: Quotas;
  /** Seeds of the keys that sign reports, base64url; the first signs. Without any, reports are unsigned. */
  reportSeeds: readonly string[];
}

/** Bounds of what customers create and store; null for none. */
export interface Quotas {
  /** Jobs without an account that have not ended, of all callers together. */
  anonymousLiveJobs: number | null;
  /** Bytes that jobs without an account store, of all callers together. */
  anonymousBytes: number | null;
  /** Jobs that a customer creates in a UTC day. */
  customerJobsPerDay: number | null;
  /** Bytes that a customer stores. */
  customerBytes: number | null;
}

/** The settings of the server's own address (`http/site.ts`). */
export interface SiteConfig {
  /** `PUBLIC_ORIGIN`, such as `https://assay.example`; null when it is not set. */
  publicOrigin: string | null;
  /** The platform has routed the request by its host, so the host is true. */
  trustsHost: boolean;
}

/** Thresholds of the scoreboard, as ratios (docs/scoreboard.md). */
export interface RatingThresholds {
  /** Below this share of its baseline a metric is underperforming. */
  underperformingBelow: number;
  /** Above this share of its baseline a metric is outperforming. */
  outperformingAbove: number;
  /** A GPU below this share of its node's median lags its siblings. */
  stragglerBelow: number;
  /** A machine below this share of its previous figures has dropped. */
  dropBelow: number;
  /** A fleet's median needs at least this many machines. */
  fleetMinMachines: number;
}

/** What verdicts depend on besides figures and baselines. */
export interface RatingRules extends RatingThresholds {
  /** Recordings are rated, and marked as REPLAYED: for demos and tests, with `ENVIRONMENT=development` alone. */
  rateReplays: boolean;
}

const MIN_SECRET_LENGTH = 32;
/** Of 32 random hexadecimal digits, fewer than this many differ about once in a million times. */
const MIN_SECRET_CHARACTERS = 8;
/** The largest size of a D1 database. */
const D1_GB = 10;
const GIB = 1_024 ** 3;

function wholeNumber(min: number) {
  const rule = `must be a whole number of at least ${min}`;
  return z.coerce.number(rule).refine((value) => Number.isInteger(value) && value >= min, rule);
}

/** A threshold of the scoreboard; an empty value counts as not set. */
function threshold(options: { default: number; min: number; max: number }) {
  const { min, max } = options;
  const rule = `must be between ${min} and ${max}`;
  const number = z.coerce.number(rule).min(min, rule).max(max, rule).default(options.default);
  return z.preprocess((value) => value || undefined, number);
}

/** A quota; an empty value counts as not set, `none` as no bound. */
function quota(options: { default: number; unit?: number }) {
  const { unit = 1 } = options;
  const rule = "must be a number of at least 0, or none";
  const number = z.coerce
    .number(rule)
    .min(0, rule)
    .default(options.default)
    .transform((value) => value * unit);
  const none = z.literal("none").transform(() => null);
  return z.preprocess((value) => value || undefined, z.union([none, number], rule));
}

const TOO_SHORT = `must have at least ${MIN_SECRET_LENGTH} characters`;

/** The rule that a secret breaks; null for one that may be used. Published examples begin with "change-me". */
export function secretFault(secret: string): string | null {
  if (secret.length < MIN_SECRET_LENGTH) return TOO_SHORT;
  const isGuessable = /change-me/i.test(secret) || new Set(secret).size < MIN_SECRET_CHARACTERS;
  return isGuessable
    ? "must be random: an example, or a few repeated characters, can be guessed"
    : null;
}

/** The rule that the seed of a key breaks; null for one that may be used: base64url of 32 bytes, in its only spelling. */
export function seedFault(seed: string): string | null {
  if (!/^[\w-]{42}[AEIMQUYcgkosw048]$/.test(seed))
    return "must hold seeds of 32 bytes in base64url";
  return new Set(seed).size < MIN_SECRET_CHARACTERS ? "must be random" : null;
}

const secret = z.string(TOO_SHORT).superRefine((text, c) => {
  const message = secretFault(text);
  if (message !== null) c.addIssue({ code: "custom", message });
});

/** Names and addresses alone: an origin stands in commands that people paste into a shell. */
const ORIGIN = /^https?:\/\/(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i;

/** An origin in its usual form, such as `https://assay.example`; null for any other text. */
export function readOrigin(text: string): string | null {
  return ORIGIN.test(text) ? (URL.parse(text)?.origin ?? null) : null;
}

const ORIGIN_RULE = "must be an origin without a path, such as https://assay.example";

/** The secrets in a text, between commas: without spaces around them, and without empty ones. */
export function splitSecrets(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** The settings by name. The first three are required. */
const settings = z.object({
  TOKEN_SECRET: z
    .string("must hold one secret, or several separated by commas")
    .transform((text) => text.split(",").map((part) => part.trim()))
    .pipe(z.array(secret)),
  NODE_TIMEOUT_SECONDS: wholeNumber(10),
  // Pings come every minute at the latest: below this, one that got lost would be the end of a node.
  SOCKET_CHECK_SECONDS: z.preprocess((value) => value || 900, wholeNumber(150)),
  RATE_LIMIT_SCALE: wholeNumber(1),
  ENVIRONMENT: z.string().optional(),
  RATE_REPLAYS: z.preprocess(
    (value) => value || "false",
    z.enum(["true", "false"], "must be true or false"),
  ),
  ROUTINE_LOG_ONE_IN: z.preprocess((value) => value || 100, wholeNumber(1)),
  PASSWORD_PEPPER: z.preprocess((value) => value || null, secret.nullable()),
  SETUP_TOKEN: z.preprocess((value) => value || null, secret.nullable()),
  REPORT_SIGNING_KEY: z
    .string()
    .default("")
    .transform((text) => splitSecrets(text))
    .superRefine((seeds, c) => {
      const message = seeds.map(seedFault).find((fault) => fault !== null);
      if (message !== undefined) c.addIssue({ code: "custom", message });
    }),
  PUBLIC_ORIGIN: z
    .string()
    .default("")
    .transform((text) => (text === "" ? null : (readOrigin(text) ?? undefined)))
    .refine((origin) => origin !== undefined, ORIGIN_RULE),
  DATABASE_WARNING_GB: z.coerce
    .number(`must be above 0 and at most ${D1_GB}`)
    .refine((value) => value > 0 && value <= D1_GB, `must be above 0 and at most ${D1_GB}`)
    .default(8),
  ANONYMOUS_LIVE_JOBS: quota({ default: 1_000 }),
  ANONYMOUS_STORED_GIB: quota({ default: 1, unit: GIB }),
  CUSTOMER_JOBS_PER_DAY: quota({ default: 50_000 }),
  CUSTOMER_STORED_GIB: quota({ default: 100, unit: GIB }),
  UNDERPERFORMING_BELOW: threshold({ default: 0.9, min: 0.01, max: 1 }),
  OUTPERFORMING_ABOVE: threshold({ default: 1.1, min: 1, max: 100 }),
  STRAGGLER_BELOW: threshold({ default: 0.95, min: 0.01, max: 1 }),
  DROP_BELOW: threshold({ default: 0.9, min: 0.01, max: 1 }),
  FLEET_MIN_MACHINES: threshold({ default: 30, min: 3, max: 5_000 }).refine(
    Number.isInteger,
    "must be a whole number",
  ),
});

/** Reads bindings of type text. Throws with the name of the setting, never with its value. */
export function readConfig(env: object): Config {
  const parsed = settings.safeParse(env);
  if (!parsed.success) {
    const [fault] = parsed.error.issues;
    throw new Error(`${String(fault?.path[0])} ${fault?.message}`);
  }
  const { data } = parsed;
  return {
    tokenSecrets: data.TOKEN_SECRET,
    passwordPepper: data.PASSWORD_PEPPER,
    setupToken: data.SETUP_TOKEN,
    nodeTimeoutMs: data.NODE_TIMEOUT_SECONDS * SECOND_MS,
    socketCheckMs: data.SOCKET_CHECK_SECONDS * SECOND_MS,
    rateLimitScale: data.RATE_LIMIT_SCALE,
    databaseWarningBytes: data.DATABASE_WARNING_GB * 1e9,
    routineLogOneIn: data.ROUTINE_LOG_ONE_IN,
    isDevelopment: data.ENVIRONMENT === "development",
    site: {
      publicOrigin: data.PUBLIC_ORIGIN ?? null,
      trustsHost: data.ENVIRONMENT === "production",
    },
    quotas: {
      anonymousLiveJobs: data.ANONYMOUS_LIVE_JOBS,
      anonymousBytes: data.ANONYMOUS_STORED_GIB,
      customerJobsPerDay: data.CUSTOMER_JOBS_PER_DAY,
      customerBytes: data.CUSTOMER_STORED_GIB,
    },
    reportSeeds: data.REPORT_SIGNING_KEY,
    rating: {
      underperformingBelow: data.UNDERPERFORMING_BELOW,
      outperformingAbove: data.OUTPERFORMING_ABOVE,
      stragglerBelow: data.STRAGGLER_BELOW,
      dropBelow: data.DROP_BELOW,
      fleetMinMachines: data.FLEET_MIN_MACHINES,
      rateReplays: data.RATE_REPLAYS === "true" && data.ENVIRONMENT === "development",
    },
  };
}
