import type { ListQuery } from "../api/lists.ts";
import type { Database, Meter } from "../db/client.ts";
import type { IdempotencyKey } from "../db/idempotency.ts";
import type { Precondition } from "../db/versions.ts";
import { type PageOf, readPage } from "../http/paging.ts";
import type { Clock } from "../lib/clock.ts";
import { hashOfKey } from "../lib/keys.ts";
import { nameOf, type Reference } from "../lib/references.ts";
import { chooseSlug } from "../lib/slugs.ts";
import type { LobbyNamespace } from "../lobbies/client.ts";
import type { AuditContext, RequestOrigin } from "../resources/audit.ts";
import { fieldsOf, refuseTakenSlug, slugTaken } from "../resources/change.ts";
import { createOnce } from "../resources/create.ts";
import { drawRunnerKey } from "./keys.ts";
import {
  deleteOffer,
  insertOffer,
  listOffered,
  orderOfOffered,
  type SpecRow,
} from "./offer-store.ts";
import type { RunnerAuth } from "./runner-auth.ts";
import type { CreateRunnerInput, RunnerKeyWire, UpdateRunnerInput } from "./schemas.ts";
import {
  type Changed,
  findRunner,
  insertRunner,
  listRunners,
  orderOfRunners,
  type RunnerRow,
  replaceKey,
  unknownRunner,
  updateRunner,
} from "./store.ts";

export interface RunnersDeps {
  clock: Clock;
  runnerAuth: RunnerAuth;
  lobbies: LobbyNamespace;
}

/** What a change may use. */
interface Store {
  db: Database;
  meter: Meter;
}

/** The runners that administrators manage. Each call is one D1 round trip, unless it says otherwise. */
export class RunnersService {
  readonly #deps: RunnersDeps;

  constructor(deps: RunnersDeps) {
    this.#deps = deps;
  }

  list(db: Database, query: ListQuery): Promise<PageOf<RunnerRow>> {
    return readPage(query, orderOfRunners(query), (window) => listRunners(db, query, window));
  }

  /** The key is stored as a hash, so a repeat answers null. One more round trip for a repeat. */
  async create(
    db: Database,
    origin: RequestOrigin,
    { name, slug: requested }: CreateRunnerInput,
    idempotencyKey: IdempotencyKey | null,
  ): Promise<{ made: RunnerKeyWire; replayed: boolean }> {
    const key = drawRunnerKey();
    const { preferred: slug } = await chooseSlug(requested ?? null, name);
    const create = async () => {
      const audit = this.#auditOf(origin);
      const uuid = crypto.randomUUID();
      const keyHash = hashOfKey(key);
      const row = { uuid, name, slug, keyHash, createdAt: audit.now, modifiedAt: audit.now };
      await insertRunner(db, row, idempotencyKey, audit);
      return { uuid };
    };
    const { created, replayed } = await createOnce(idempotencyKey, create, () =>
      slugTaken("Runner", slug),
    );
    return { made: { uuid: created.uuid, key: replayed ? null : key }, replayed };
  }

  async view(db: Database, reference: Reference): Promise<RunnerRow> {
    const row = await findRunner(db, reference);
    if (row === null) throw unknownRunner(reference);
    return row;
  }

  /** Leaves a field unchanged where its value is null or absent. */
  async update(
    { db, meter }: Store,
    origin: RequestOrigin,
    reference: Reference,
    precondition: Precondition | null,
    input: UpdateRunnerInput,
  ): Promise<RunnerRow> {
    const changes = {
      name: input.name ?? undefined,
      slug: input.slug ?? undefined,
      archived: input.archived ?? undefined,
    };
    const audit = this.#auditOf(origin, { fields: fieldsOf(changes), archived: changes.archived });
    const runner = await refuseTakenSlug("Runner", changes.slug, () =>
      updateRunner(db, reference, precondition, changes, audit),
    );
    this.#deps.runnerAuth.forget(runner.uuid);
    if (changes.archived !== undefined) await this.#dismiss(meter, runner);
    return runner;
  }

  /** The key is stored as a hash, so a repeat answers null. One more round trip for a repeat. */
  async rotateKey(
    { db, meter }: Store,
    origin: RequestOrigin,
    reference: Reference,
    idempotencyKey: IdempotencyKey | null,
  ): Promise<{ made: RunnerKeyWire; replayed: boolean }> {
    const key = drawRunnerKey();
    const rotate = async () => {
      const audit = this.#auditOf(origin);
      const changed = await replaceKey(db, reference, hashOfKey(key), idempotencyKey, audit);
      await this.#dismiss(meter, changed);
      return { uuid: changed.uuid };
    };
    const { created, replayed } = await createOnce(idempotencyKey, rotate);
    return { made: { uuid: created.uuid, key: replayed ? null : key }, replayed };
  }

  listOffered(db: Database, reference: Reference, query: ListQuery): Promise<PageOf<SpecRow>> {
    return readPage(query, orderOfOffered(query), (window) =>
      listOffered(db, reference, query, window),
    );
  }

  /** One more round trip for a repeat. */
  async offer(
    { db, meter }: Store,
    origin: RequestOrigin,
    reference: Reference,
    specReference: Reference,
    key: IdempotencyKey | null,
  ): Promise<{ spec: SpecRow; replayed: boolean }> {
    const audit = this.#auditOf(origin, { spec: nameOf(specReference) });
    const { created: spec, replayed } = await createOnce(key, async () => {
      const offer = await insertOffer(db, reference, specReference, key, audit);
      await this.#dismiss(meter, offer.runner);
      return offer.spec;
    });
    return { spec, replayed };
  }

  async withdraw(
    { db, meter }: Store,
    origin: RequestOrigin,
    reference: Reference,
    spec: Reference,
    precondition: Precondition | null,
  ): Promise<void> {
    const audit = this.#auditOf(origin, { spec: nameOf(spec) });
    await this.#dismiss(meter, await deleteOffer(db, reference, spec, precondition, audit));
  }

  /** Makes a change take effect at once, here and in the lobby that holds the runner's socket. One hop, if it waits. */
  async #dismiss(meter: Meter, { uuid, lobby }: Changed): Promise<void> {
    this.#deps.runnerAuth.forget(uuid);
    if (lobby === null) return;
    const { dismissRunner } = await import("../lobbies/client.ts");
    await dismissRunner({ namespace: this.#deps.lobbies, meter }, lobby, uuid);
  }

  #auditOf(origin: RequestOrigin, details: AuditContext["details"] = {}): AuditContext {
    return { origin, now: this.#deps.clock.now(), details };
  }
}
