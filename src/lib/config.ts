import { DAY_MS, SECOND_MS } from "./clock.ts";

/** What a deployment sets, validated once where it enters. */
export interface Config {
  /** The first signs, all verify; at least one, each of at least 32 characters. */
  tokenSecrets: readonly string[];
  /** Goes into every password's hash; null for none. */
  passwordPepper: string | null;
  /** A node out of contact for longer is lost. */
  nodeTimeoutMs: number;
  /** How many requests count as one against rate limits. */
  rateLimitScale: number;
  /** Results of jobs that ended so long ago are kept in R2. */
  archiveAfterMs: number;
  /** A database of this size is reported by cron. */
  databaseWarningBytes: number;
  /** Replies tell what they cost. */
  isDevelopment: boolean;
  rating: RatingThresholds;
}

/** What the scoreboard calls slow, fast and enough; ratios (docs/scoreboard.md). */
export interface RatingThresholds {
  /** Below this share of its baseline a metric is underperforming. */
  underperformingBelow: number;
  /** Above this share of its baseline a metric is outperforming. */
  outperformingAbove: number;
  /** A GPU below this share of its node's median lags its siblings. */
  stragglerBelow: number;
  /** A machine below this share of what it measured before has dropped. */
  dropBelow: number;
  /** A fleet's median counts from this many machines on. */
  fleetMinMachines: number;
}

type ConfigName = "TOKEN_SECRET" | "NODE_TIMEOUT_SECONDS" | "RATE_LIMIT_SCALE" | "ENVIRONMENT";

/** May be left out. */
type OptionalName = "PASSWORD_PEPPER" | "RESULTS_TO_R2_DAYS" | "DATABASE_WARNING_GB" | RatingName;

/** Of the scoreboard, and what they are where nothing is set. */
const RATING = {
  UNDERPERFORMING_BELOW: 0.9,
  OUTPERFORMING_ABOVE: 1.1,
  STRAGGLER_BELOW: 0.95,
  DROP_BELOW: 0.9,
  FLEET_MIN_MACHINES: 30,
};
type RatingName = keyof typeof RATING;

const MIN_SECRET_LENGTH = 32;
/** What D1 holds at most is 10 GB. */
const D1_GB = 10;
const DEFAULTS = { RESULTS_TO_R2_DAYS: "30", DATABASE_WARNING_GB: "8" };

/** Reads bindings of type text. Throws with the name of the setting, never with its value. */
export function readConfig(
  env: Record<ConfigName, string> & Partial<Record<OptionalName, string>>,
): Config {
  const tokenSecrets = (env.TOKEN_SECRET ?? "").split(",").map((secret) => secret.trim());
  if (tokenSecrets.some((secret) => secret.length < MIN_SECRET_LENGTH)) {
    throw new Error(
      `TOKEN_SECRET must hold comma-separated secrets of at least ${MIN_SECRET_LENGTH} characters`,
    );
  }
  const passwordPepper = env.PASSWORD_PEPPER || null;
  if (passwordPepper !== null && passwordPepper.length < MIN_SECRET_LENGTH) {
    throw new Error(`PASSWORD_PEPPER must have at least ${MIN_SECRET_LENGTH} characters`);
  }
  const nodeTimeoutSeconds = Number(env.NODE_TIMEOUT_SECONDS);
  if (!Number.isInteger(nodeTimeoutSeconds) || nodeTimeoutSeconds < 10) {
    throw new Error("NODE_TIMEOUT_SECONDS must be a whole number of at least 10");
  }
  const rateLimitScale = Number(env.RATE_LIMIT_SCALE);
  if (!Number.isInteger(rateLimitScale) || rateLimitScale < 1) {
    throw new Error("RATE_LIMIT_SCALE must be a whole number of at least 1");
  }
  const archiveDays = Number(env.RESULTS_TO_R2_DAYS ?? DEFAULTS.RESULTS_TO_R2_DAYS);
  if (!Number.isInteger(archiveDays) || archiveDays < 1) {
    throw new Error("RESULTS_TO_R2_DAYS must be a whole number of at least 1");
  }
  const warningGb = Number(env.DATABASE_WARNING_GB ?? DEFAULTS.DATABASE_WARNING_GB);
  if (!(warningGb > 0 && warningGb <= D1_GB)) {
    throw new Error(`DATABASE_WARNING_GB must be above 0 and at most ${D1_GB}`);
  }
  return {
    tokenSecrets,
    passwordPepper,
    nodeTimeoutMs: nodeTimeoutSeconds * SECOND_MS,
    rateLimitScale,
    archiveAfterMs: archiveDays * DAY_MS,
    databaseWarningBytes: warningGb * 1e9,
    isDevelopment: env.ENVIRONMENT === "development",
    rating: readThresholds(env),
  };
}

function readThresholds(env: Partial<Record<RatingName, string>>): RatingThresholds {
  const read = (name: RatingName, min: number, max: number): number => {
    const value = Number(env[name] || RATING[name]);
    if (value >= min && value <= max) return value;
    throw new Error(`${name} must be between ${min} and ${max}`);
  };
  const fleetMinMachines = read("FLEET_MIN_MACHINES", 3, 5_000);
  if (!Number.isInteger(fleetMinMachines)) {
    throw new Error("FLEET_MIN_MACHINES must be a whole number");
  }
  return {
    underperformingBelow: read("UNDERPERFORMING_BELOW", 0.01, 1),
    outperformingAbove: read("OUTPERFORMING_ABOVE", 1, 100),
    stragglerBelow: read("STRAGGLER_BELOW", 0.01, 1),
    dropBelow: read("DROP_BELOW", 0.01, 1),
    fleetMinMachines,
  };
}
