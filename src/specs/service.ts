import type { ListQuery } from "../api/lists.ts";
import type { Database } from "../db/client.ts";
import { foreignKeyViolation } from "../db/errors.ts";
import type { IdempotencyKey } from "../db/idempotency.ts";
import type { Precondition } from "../db/versions.ts";
import { ApiError, notFound } from "../http/errors.ts";
import { type PageOf, readPage } from "../http/paging.ts";
import type { Clock } from "../lib/clock.ts";
import { nameOf, type Reference } from "../lib/references.ts";
import { chooseSlug } from "../lib/slugs.ts";
import type { RequestOrigin } from "../resources/audit.ts";
import { fieldsOf, refuseTakenSlug } from "../resources/change.ts";
import { createOnce } from "../resources/create.ts";
import type { CreateSpecInput, UpdateSpecInput } from "./schemas.ts";
import {
  deleteSpec,
  findSpec,
  insertSpec,
  type ListedSpec,
  listSpecs,
  orderOfSpecs,
  type SpecRow,
  updateSpec,
} from "./store.ts";

export interface SpecsDeps {
  clock: Clock;
  /** A runner out of contact for this long is offline. */
  timeoutMs: number;
}

/** Each call is one D1 round trip, unless it says otherwise. */
export class SpecsService {
  readonly #deps: SpecsDeps;

  constructor(deps: SpecsDeps) {
    this.#deps = deps;
  }

  /** A page of specs with its total and with cursors to its neighbours. */
  list(db: Database, query: ListQuery, { withRunners = false } = {}): Promise<PageOf<ListedSpec>> {
    const onlineAfter = withRunners ? this.#deps.clock.now() - this.#deps.timeoutMs : null;
    return readPage(query, orderOfSpecs(query), (window) =>
      listSpecs(db, query, window, onlineAfter),
    );
  }

  /** More round trips as `createOnce` says. */
  async create(
    db: Database,
    origin: RequestOrigin,
    input: CreateSpecInput,
    key: IdempotencyKey | null,
  ): Promise<{ spec: SpecRow; replayed: boolean }> {
    const { name, slug, os, architecture, cpu, memory, disk, network } = input;
    const { created: spec, replayed } = await createOnce(key, async () => {
      const now = this.#deps.clock.now();
      const row = {
        uuid: crypto.randomUUID(),
        name,
        os,
        architecture,
        cpu,
        memory,
        disk,
        network,
        createdAt: now,
        modifiedAt: now,
        archivedAt: null,
        version: 1,
      };
      return insertSpec(db, row, await chooseSlug(slug ?? null, name), key, { origin, now });
    });
    return { spec, replayed };
  }

  async view(db: Database, reference: Reference): Promise<SpecRow> {
    const row = await findSpec(db, reference);
    if (row === null) throw notFound("Spec", nameOf(reference));
    return row;
  }

  /** Leaves a field unchanged where its value is null or absent. */
  update(
    db: Database,
    origin: RequestOrigin,
    reference: Reference,
    precondition: Precondition | null,
    input: UpdateSpecInput,
  ): Promise<SpecRow> {
    const changes = {
      name: input.name ?? undefined,
      slug: input.slug ?? undefined,
      archived: input.archived ?? undefined,
    };
    const details = { fields: fieldsOf(changes), archived: changes.archived };
    const audit = { origin, now: this.#deps.clock.now(), details };
    return refuseTakenSlug("Spec", changes.slug, () =>
      updateSpec(db, reference, precondition, changes, audit),
    );
  }

  async remove(
    db: Database,
    origin: RequestOrigin,
    reference: Reference,
    precondition: Precondition | null,
  ): Promise<void> {
    try {
      await deleteSpec(db, reference, precondition, { origin, now: this.#deps.clock.now() });
    } catch (error) {
      if (!foreignKeyViolation(error)) throw error;
      const message =
        "The spec is in use: a job was created for it, or a runner offers it. Archive it instead";
      throw new ApiError("RESOURCE_IN_USE", message);
    }
  }
}
