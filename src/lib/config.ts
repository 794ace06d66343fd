import { SECOND_MS } from "./clock.ts";

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
type OptionalName = "PASSWORD_PEPPER" | RatingName;

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
  return {
    tokenSecrets,
    passwordPepper,
    nodeTimeoutMs: nodeTimeoutSeconds * SECOND_MS,
    rateLimitScale,
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
