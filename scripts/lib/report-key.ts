/** The key that signs reports, at a deployment: given, asked for, or none. */
import { seedFault, splitSecrets } from "../../src/lib/config.ts";
import { freshSeed } from "./secrets.ts";

const NAME = "REPORT_SIGNING_KEY";

interface Asking {
  /** The value in the environment. */
  given: string | undefined;
  /** Names of the secrets that the deployment has; null where they cannot be told, such as before the first one. */
  names: () => Promise<readonly string[] | null>;
  /** Puts a question to the person at the terminal; null without a terminal. */
  ask: ((question: string) => Promise<string>) | null;
  say: (text: string) => void;
}

/**
 * The value of REPORT_SIGNING_KEY to set with this deployment; null to leave what is there.
 *
 * @throws Error for the user, if a given seed cannot be used
 */
export async function reportKeyFor({ given, names, ask, say }: Asking): Promise<string | null> {
  const seeds = splitSecrets(given ?? "");
  const fault = seeds.map(seedFault).find((each) => each !== null);
  if (fault !== undefined) throw new Error(`${NAME} ${fault}.`);
  if (seeds.length > 0) return seeds.join(",");
  if ((await names())?.includes(NAME)) return null;
  const seed = freshSeed();
  if (ask === null) {
    say(`
Reports will be UNSIGNED: the Worker has no ${NAME}. To sign them, deploy with a key:

  ${NAME}='${seed}' npm run deploy
`);
    return null;
  }
  const answer = await ask(
    "Sign reports with a new key, stored as the secret REPORT_SIGNING_KEY? [Y/n] ",
  );
  if (!/^(y|yes|)$/i.test(answer.trim())) {
    say("Reports will be UNSIGNED.");
    return null;
  }
  say(
    `Save the key; the next rotation needs it, and Cloudflare does not show it again:\n${NAME}="${seed}"`,
  );
  return seed;
}
