import { SECOND_MS } from "./clock.ts";

/** What a deployment sets, validated once where it enters. */
export interface Config {
  /** The first signs, all verify; at least one, each of at least 32 characters. */
  tokenSecrets: readonly string[];
  /** A node out of contact for longer is lost. */
  nodeTimeoutMs: number;
}

const MIN_SECRET_LENGTH = 32;

/** Reads bindings of type text. Throws with the name of the setting, never with its value. */
export function readConfig(env: { TOKEN_SECRET: string; NODE_TIMEOUT_SECONDS: string }): Config {
  const tokenSecrets = (env.TOKEN_SECRET ?? "").split(",").map((secret) => secret.trim());
  if (tokenSecrets.some((secret) => secret.length < MIN_SECRET_LENGTH)) {
    throw new Error(
      `TOKEN_SECRET must hold one or two comma-separated secrets of at least ${MIN_SECRET_LENGTH} characters`,
    );
  }
  const nodeTimeoutSeconds = Number(env.NODE_TIMEOUT_SECONDS);
  if (!Number.isInteger(nodeTimeoutSeconds) || nodeTimeoutSeconds < 10) {
    throw new Error("NODE_TIMEOUT_SECONDS must be a whole number of at least 10");
  }
  return { tokenSecrets, nodeTimeoutMs: nodeTimeoutSeconds * SECOND_MS };
}
