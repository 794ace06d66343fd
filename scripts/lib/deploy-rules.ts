/** What may not reach an account. */

/** A line that sets it, in any table of the file; a comment does not. */
const SETS_RATE_REPLAYS =
  /^\s*(?:[\w.-]+\.)?["']?RATE_REPLAYS["']?\s*=|[{,]\s*["']?RATE_REPLAYS["']?\s*=/m;

/**
 * Why these settings must not be deployed, in words for people; null for none.
 *
 * @param toml the text of wrangler.toml
 */
export function deployFault(
  toml: string,
  env: { readonly [name: string]: string | undefined },
): string | null {
  const isSet = SETS_RATE_REPLAYS.test(toml.replaceAll(/^\s*#.*$/gm, ""));
  const where = isSet ? "wrangler.toml" : env.RATE_REPLAYS ? "the environment" : null;
  if (where === null) return null;
  return `RATE_REPLAYS is set in ${where}: recordings must not be rated on a deployed server. Remove it; \`npm start -- --rate-replays\` is only for this machine.`;
}

/** @param names of the Worker's secrets; null for a Worker that does not exist */
export function hasTokenSecret(names: readonly string[] | null): boolean {
  return names?.includes("TOKEN_SECRET") ?? false;
}

/** @param fresh a random secret */
export function secretMissing(fresh: string): string {
  return `
The Worker has no TOKEN_SECRET. Deploy it with a random one, and keep the value: Cloudflare does not show it again.

  TOKEN_SECRET='${fresh}' npm run deploy
`;
}
