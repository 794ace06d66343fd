import type { NamedListQuery } from "../../api/lists.ts";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { namedOrder } from "../../db/named-rows.ts";
import { customers } from "../../db/schema.ts";
import type { Precondition } from "../../db/versions.ts";
import { notFound } from "../../http/errors.ts";
import { type PageOf, readPage } from "../../http/paging.ts";
import type { Clock } from "../../lib/clock.ts";
import { nameOf, type Reference } from "../../lib/references.ts";
import { chooseSlug } from "../../lib/slugs.ts";
import type { RequestOrigin } from "../../resources/audit.ts";
import { fieldsOf, refuseTakenSlug } from "../../resources/change.ts";
import { createOnce } from "../../resources/create.ts";
import type { Actor } from "../actor.ts";
import type { CreateCustomerInput, UpdateCustomerInput } from "./schemas.ts";
import {
  type CustomerRow,
  findCustomer,
  insertCustomer,
  listCustomers,
  updateCustomer,
} from "./store.ts";

interface CustomersDeps {
  clock: Clock;
}

/** Each call is one D1 round trip, unless it says otherwise. */
export class CustomersService {
  readonly #deps: CustomersDeps;

  constructor(deps: CustomersDeps) {
    this.#deps = deps;
  }

  /** A page of the customers that an administrator sees. */
  list(db: Database, actor: Actor, query: NamedListQuery): Promise<PageOf<CustomerRow>> {
    return readPage(query, namedOrder<CustomerRow>(customers, query), (window) =>
      listCustomers(db, actor, query, window),
    );
  }

  async view(db: Database, actor: Actor, reference: Reference): Promise<CustomerRow> {
    const row = await findCustomer(db, actor, reference);
    if (row === null) throw notFound("Customer", nameOf(reference));
    return row;
  }

  /** More round trips as `createOnce` says. */
  async create(
    db: Database,
    origin: RequestOrigin,
    { name, slug }: CreateCustomerInput,
    key: IdempotencyKey | null,
  ): Promise<{ customer: CustomerRow; replayed: boolean }> {
    const { created: customer, replayed } = await createOnce(key, async () => {
      const now = this.#deps.clock.now();
      const uuid = crypto.randomUUID();
      const row = { uuid, name, createdAt: now, modifiedAt: now, version: 1 };
      return insertCustomer(db, row, await chooseSlug(slug ?? null, name), key, { origin, now });
    });
    return { customer, replayed };
  }

  /** Leaves a field unchanged where its value is null or absent. */
  update(
    db: Database,
    origin: RequestOrigin,
    reference: Reference,
    precondition: Precondition | null,
    input: UpdateCustomerInput,
  ): Promise<CustomerRow> {
    const changes = { name: input.name ?? undefined, slug: input.slug ?? undefined };
    const audit = { origin, now: this.#deps.clock.now(), details: { fields: fieldsOf(changes) } };
    return refuseTakenSlug("Customer", changes.slug, () =>
      updateCustomer(db, reference, precondition, changes, audit),
    );
  }
}
