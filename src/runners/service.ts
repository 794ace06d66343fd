import type { Database } from "../db/client.ts";
import { uniqueViolation } from "../db/errors.ts";
import type { Precondition } from "../http/entity-tag.ts";
import { ApiError, invalidField, notFound } from "../http/errors.ts";
import { findFirst, type IdempotencyClaim, isRepeat } from "../http/idempotency.ts";
import { type PageOf, readPage } from "../http/keyset-page.ts";
import type { ListQuery } from "../http/list-query.ts";
import { nameOf, type Reference } from "../http/reference.ts";
import type { Act, Origin } from "../identity/audit.ts";
import type { Clock } from "../lib/clock.ts";
import { chooseSlug } from "../lib/slugs.ts";
import type { Keyring } from "./keyring.ts";
import { drawKey, hashOfKey } from "./keys.ts";
import {
  deleteOffer,
  insertOffer,
  listOffered,
  orderOfOffered,
  type SpecRow,
} from "./offer-store.ts";
import {
  type CreateRunnerInput,
  MAX_OFFERED,
  type RunnerKeyWire,
  type UpdateRunnerInput,
} from "./schemas.ts";
import {
  findRunner,
  insertRunner,
  listRunners,
  orderOfRunners,
  type RunnerRow,
  replaceKey,
  updateRunner,
} from "./store.ts";

export interface RunnersDeps {
  clock: Clock;
  keyring: Keyring;
}

export type RunnersService = ReturnType<typeof createRunnersService>;

/** What administrators do with runners. Each call is one D1 round trip, unless it says otherwise. */
export function createRunnersService({ clock, keyring }: RunnersDeps) {
  const act = (origin: Origin, details: Act["details"] = {}): Act => ({
    ...{ origin, details },
    now: clock.now(),
  });

  return {
    async list(db: Database, query: ListQuery): Promise<PageOf<RunnerRow>> {
      return readPage(query, orderOfRunners(query), (window) => listRunners(db, query, window));
    },

    /** Null in place of the key when it is a repeat, which costs one more round trip. */
    async create(
      db: Database,
      origin: Origin,
      { name, slug }: CreateRunnerInput,
      claim: IdempotencyClaim | null,
    ): Promise<{ made: RunnerKeyWire; replayed: boolean }> {
      const key = drawKey();
      const acting = act(origin);
      const { now } = acting;
      const { preferred } = await chooseSlug(slug ?? null, name);
      const row = {
        ...{ uuid: crypto.randomUUID(), name, slug: preferred, keyHash: hashOfKey(key) },
        ...{ createdAt: now, modifiedAt: now },
      };
      try {
        await insertRunner(db, row, claim, acting);
        return { made: { uuid: row.uuid, key }, replayed: false };
      } catch (error) {
        const taken = uniqueViolation(error);
        if (taken === null) throw error;
        if (claim !== null && isRepeat(taken)) return replayedKey(await findFirst(claim));
        throw slugTaken(preferred);
      }
    },

    async view(db: Database, reference: Reference): Promise<RunnerRow> {
      const row = await findRunner(db, reference);
      if (row === null) throw unknownRunner(reference);
      return row;
    },

    /** Null means the same as absent: unchanged. */
    async update(
      db: Database,
      origin: Origin,
      reference: Reference,
      precondition: Precondition | null,
      input: UpdateRunnerInput,
    ): Promise<RunnerRow> {
      const changes = {
        name: input.name ?? undefined,
        slug: input.slug ?? undefined,
        archived: input.archived ?? undefined,
      };
      const fields = Object.entries(changes).flatMap(([field, value]) =>
        value === undefined ? [] : [field],
      );
      const { archived } = changes;
      try {
        const acting = act(origin, { fields, archived });
        const change = await updateRunner(db, reference, precondition, changes, acting);
        if (change === "not_found") throw unknownRunner(reference);
        if (change === "other_version") throw otherVersion();
        keyring.forget(change.runner.uuid);
        return change.runner;
      } catch (error) {
        if (uniqueViolation(error) === null) throw error;
        throw slugTaken(changes.slug ?? "");
      }
    },

    /** Null in place of the key when it is a repeat. One more round trip for a repeat. */
    async rotateKey(
      db: Database,
      origin: Origin,
      reference: Reference,
      claim: IdempotencyClaim | null,
    ): Promise<{ made: RunnerKeyWire; replayed: boolean }> {
      const key = drawKey();
      const rotate = () => replaceKey(db, reference, hashOfKey(key), claim, act(origin));
      const rotated = await unlessRepeated(claim, rotate);
      if (rotated instanceof Repeated) {
        return replayedKey(rotated.first);
      }
      if (typeof rotated === "object") {
        keyring.forget(rotated.uuid);
        return { made: { uuid: rotated.uuid, key }, replayed: false };
      }
      if (rotated === "archived") {
        const message = "The runner is archived; bring it back before you make a key for it";
        throw new ApiError("RESOURCE_IN_USE", message);
      }
      throw unknownRunner(reference);
    },

    async listOffered(
      db: Database,
      reference: Reference,
      query: ListQuery,
    ): Promise<PageOf<SpecRow>> {
      return readPage(query, orderOfOffered(query), async (window) => {
        const found = await listOffered(db, reference, query, window);
        if (found === null) throw unknownRunner(reference);
        return found;
      });
    },

    /** One more round trip for a repeat. */
    async offer(
      db: Database,
      origin: Origin,
      reference: Reference,
      spec: Reference,
      claim: IdempotencyClaim | null,
    ): Promise<{ spec: SpecRow; replayed: boolean }> {
      const acting = act(origin, { spec: nameOf(spec) });
      const insert = () => insertOffer(db, reference, spec, claim, acting);
      const offer = await unlessRepeated(claim, insert);
      if (offer instanceof Repeated) {
        // Stored by `insertOffer` as the row that it was; JSON made by SQLite has no booleans.
        const row = offer.first as SpecRow;
        return { spec: { ...row, network: Boolean(row.network) }, replayed: true };
      }
      if (typeof offer === "object") {
        keyring.forget(offer.runner);
        return { spec: offer.spec, replayed: false };
      }
      switch (offer) {
        case "no_spec":
          throw notFound("Spec", nameOf(spec));
        case "offered_already": {
          const message = `The runner offers the spec '${nameOf(spec)}' already`;
          throw new ApiError("RESOURCE_ALREADY_EXISTS", message);
        }
        case "too_many":
          throw invalidField("spec", `A runner offers at most ${MAX_OFFERED} specs`);
        default:
          throw unknownRunner(reference);
      }
    },

    async withdraw(
      db: Database,
      origin: Origin,
      reference: Reference,
      spec: Reference,
      precondition: Precondition | null,
    ): Promise<void> {
      const acting = act(origin, { spec: nameOf(spec) });
      const withdrawn = await deleteOffer(db, reference, spec, precondition, acting);
      if (withdrawn === "no_runner") throw unknownRunner(reference);
      if (withdrawn === "not_offered") throw notFound("Spec", nameOf(spec));
      if (withdrawn === "other_version") throw otherVersion();
      keyring.forget(withdrawn.runner);
    },
  };
}

/** What an act did, or that its idempotency key was used before. */
async function unlessRepeated<Outcome>(
  claim: IdempotencyClaim | null,
  act: () => Promise<Outcome>,
): Promise<Outcome | Repeated> {
  try {
    return await act();
  } catch (error) {
    const taken = uniqueViolation(error);
    if (claim === null || taken === null || !isRepeat(taken)) throw error;
    return new Repeated(await findFirst(claim));
  }
}

/** A key is never stored, so a repeat cannot show it. */
function replayedKey(first: unknown) {
  const { uuid } = first as { uuid: string }; // stored by the first request
  return { made: { uuid, key: null }, replayed: true };
}

/** The same request was made before: what it has stored. */
class Repeated {
  readonly first: unknown;

  constructor(first: unknown) {
    this.first = first;
  }
}

function unknownRunner(reference: Reference): ApiError {
  return notFound("Runner", nameOf(reference));
}

function slugTaken(slug: string): ApiError {
  return new ApiError("RESOURCE_ALREADY_EXISTS", `Runner with slug '${slug}' already exists`);
}

function otherVersion(): ApiError {
  const message = "The runner has changed since the version you name; read it again";
  return new ApiError("PRECONDITION_FAILED", message);
}
