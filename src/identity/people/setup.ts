import { createHash, timingSafeEqual } from "node:crypto";
import type { Database } from "../../db/client.ts";
import { ApiError } from "../../http/errors.ts";
import type { Clock } from "../../lib/clock.ts";
import { chooseSlug } from "../../lib/slugs.ts";
import type { RequestOrigin } from "../../resources/audit.ts";
import { hashPassword } from "../password-hash.ts";
import type { SetUpInput } from "./schemas.ts";
import { findsRootAdmin, insertFirstAdmin } from "./setup-store.ts";
import type { PersonRow } from "./store.ts";

interface SetupDeps {
  /** `SETUP_TOKEN`; null where it is not set, and nobody can set up anything. */
  setupToken: string | null;
  clock: Clock;
  pepper: string | null;
}

/** The first administrator of a deployment, made without a terminal. */
export class SetupService {
  readonly #deps: SetupDeps;

  constructor(deps: SetupDeps) {
    this.#deps = deps;
  }

  /** Throws 404 unless this deployment waits for its first administrator. One round trip; none without `SETUP_TOKEN`. */
  async createFirstAdmin(
    db: Database,
    origin: RequestOrigin,
    { token, email, name, password }: SetUpInput,
  ): Promise<PersonRow> {
    const { setupToken, clock, pepper } = this.#deps;
    if (setupToken === null) throw nothingToSetUp();
    if (!isSame(token, setupToken)) {
      if (await findsRootAdmin(db)) throw nothingToSetUp();
      throw new ApiError("PERMISSION_DENIED", "This is not the SETUP_TOKEN of this deployment");
    }
    const passwordHash = await hashPassword(password, pepper);
    const uuid = crypto.randomUUID();
    const slug = await chooseSlug(null, name);
    const audit = { origin, now: clock.now(), details: { role: "root_admin" } };
    const outcome = await insertFirstAdmin(db, { uuid, email, name, slug, passwordHash }, audit);
    if (outcome === "exists") throw nothingToSetUp();
    if (outcome === "e-mail taken") {
      throw new ApiError("RESOURCE_ALREADY_EXISTS", `User with email '${email}' already exists`);
    }
    return outcome;
  }
}

function nothingToSetUp(): ApiError {
  return new ApiError("RESOURCE_NOT_FOUND", "There is nothing to set up");
}

/** Compares in a time that tells nothing about the secret. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
