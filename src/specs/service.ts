import type { Database } from "../db/client.ts";
import { foreignKeyViolation, uniqueViolation } from "../db/errors.ts";
import type { Precondition } from "../http/entity-tag.ts";
import { ApiError, notFound } from "../http/errors.ts";
import { findFirst, type IdempotencyClaim, isRepeat } from "../http/idempotency.ts";
import { type PageOf, readPage } from "../http/keyset-page.ts";
import type { ListQuery } from "../http/list-query.ts";
import { nameOf, type Reference } from "../http/reference.ts";
import type { Origin } from "../identity/audit.ts";
import type { Clock } from "../lib/clock.ts";
import { chooseSlug } from "../lib/slugs.ts";
import type { CreateSpecInput, UpdateSpecInput } from "./schemas.ts";
import {
  type Change,
  deleteSpec,
  findSpec,
  insertSpec,
  type ListedSpec,
  listSpecs,
  orderOfSpecs,
  type SpecRow,
  updateSpec,
} from "./store.ts";

/** Random signs of a slug are redrawn this often before something must be wrong. */
const MAX_DRAWS = 5;

export interface SpecsDeps {
  clock: Clock;
  /** A runner out of contact for so long is offline. */
  timeoutMs: number;
}

export type SpecsService = ReturnType<typeof createSpecsService>;

/** Each call is one D1 round trip, unless it says otherwise. */
export function createSpecsService({ clock, timeoutMs }: SpecsDeps) {
  return {
    /** A page of specs with its total and with cursors to its neighbours; with the runners online, if asked. */
    list(
      db: Database,
      query: ListQuery,
      { withRunners = false } = {},
    ): Promise<PageOf<ListedSpec>> {
      const onlineAfter = withRunners ? clock.now() - timeoutMs : null;
      return readPage(query, orderOfSpecs(query), (window) =>
        listSpecs(db, query, window, onlineAfter),
      );
    },

    /**
     * Stores a spec, or finds the one that the same request has stored before. One more round trip for
     * each time that the random signs of its slug were taken, or to read the first request.
     */
    async create(
      db: Database,
      origin: Origin,
      input: CreateSpecInput,
      claim: IdempotencyClaim | null,
    ): Promise<{ spec: SpecRow; replayed: boolean }> {
      const { name, slug: wanted, os, architecture, cpu, memory, disk, network } = input;
      for (let draw = 0; draw < MAX_DRAWS; draw++) {
        const now = clock.now();
        const row = {
          ...{ uuid: crypto.randomUUID(), name, os, architecture, cpu, memory, disk, network },
          ...{ createdAt: now, modifiedAt: now, archivedAt: null, version: 1 },
        };
        const slug = await chooseSlug(wanted ?? null, name);
        try {
          const act = { origin, now, details: {} };
          return { spec: await insertSpec(db, row, slug, claim, act), replayed: false };
        } catch (error) {
          const taken = uniqueViolation(error);
          if (taken === null) throw error;
          if (claim !== null && isRepeat(taken)) {
            // Stored by `insertSpec` as the row that it was.
            return { spec: (await findFirst(claim)) as SpecRow, replayed: true };
          }
        }
      }
      throw new Error(`No free slug in ${MAX_DRAWS} draws`);
    },

    async view(db: Database, reference: Reference): Promise<SpecRow> {
      const row = await findSpec(db, reference);
      if (row === null) throw notFound("Spec", nameOf(reference));
      return row;
    },

    /** Null means the same as absent: unchanged. */
    async update(
      db: Database,
      origin: Origin,
      reference: Reference,
      precondition: Precondition | null,
      input: UpdateSpecInput,
    ): Promise<SpecRow> {
      const changes = {
        name: input.name ?? undefined,
        slug: input.slug ?? undefined,
        archived: input.archived ?? undefined,
      };
      const fields = Object.entries(changes).flatMap(([field, value]) =>
        value === undefined ? [] : [field],
      );
      const { archived } = changes;
      const act = { origin, now: clock.now(), details: { fields, archived } };
      try {
        return changed(reference, await updateSpec(db, reference, precondition, changes, act));
      } catch (error) {
        if (uniqueViolation(error) === null) throw error;
        const message = `Spec with slug '${changes.slug}' already exists`;
        throw new ApiError("RESOURCE_ALREADY_EXISTS", message);
      }
    },

    async remove(
      db: Database,
      origin: Origin,
      reference: Reference,
      precondition: Precondition | null,
    ): Promise<void> {
      try {
        const act = { origin, now: clock.now(), details: {} };
        changed(reference, await deleteSpec(db, reference, precondition, act));
      } catch (error) {
        if (!foreignKeyViolation(error)) throw error;
        const message =
          "The spec is in use: a job was made for it, or a runner offers it. Archive it instead";
        throw new ApiError("RESOURCE_IN_USE", message);
      }
    },
  };
}

function changed(reference: Reference, change: Change): SpecRow {
  if (change === "not_found") throw notFound("Spec", nameOf(reference));
  if (change === "other_version") {
    const message = "The spec has changed since the version you name; read it again";
    throw new ApiError("PRECONDITION_FAILED", message);
  }
  return change.spec;
}
