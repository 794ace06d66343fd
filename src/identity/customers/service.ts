import type { Database } from "../../db/client.ts";
import { uniqueViolation } from "../../db/errors.ts";
import { customers } from "../../db/schema.ts";
import type { Precondition } from "../../http/entity-tag.ts";
import { ApiError, notFound } from "../../http/errors.ts";
import { findFirst, type IdempotencyClaim, isRepeat } from "../../http/idempotency.ts";
import { type PageOf, readPage } from "../../http/keyset-page.ts";
import type { NamedListQuery } from "../../http/list-query.ts";
import { namedOrder } from "../../http/named-order.ts";
import { nameOf, type Reference } from "../../http/reference.ts";
import type { Clock } from "../../lib/clock.ts";
import { chooseSlug } from "../../lib/slugs.ts";
import type { Actor } from "../actor.ts";
import type { Origin } from "../audit.ts";
import { checkRules, notAnonymous, versionRules } from "../rules.ts";
import type { CreateCustomerInput, UpdateCustomerInput } from "./schemas.ts";
import {
  type CustomerRow,
  findCustomer,
  insertCustomer,
  listCustomers,
  updateCustomer,
} from "./store.ts";

/** Random signs of a slug are redrawn this often before something must be wrong. */
const MAX_DRAWS = 5;

export type CustomersService = ReturnType<typeof createCustomersService>;

/** Each call is one D1 round trip, unless it says otherwise. */
export function createCustomersService({ clock }: { clock: Clock }) {
  return {
    /** A page of the customers that an administrator sees. */
    list(db: Database, actor: Actor, query: NamedListQuery): Promise<PageOf<CustomerRow>> {
      return readPage(query, namedOrder<CustomerRow>(customers, query), (window) =>
        listCustomers(db, seenBy(actor), query, window),
      );
    },

    async view(db: Database, actor: Actor, reference: Reference): Promise<CustomerRow> {
      const row = await findCustomer(db, reference, seenBy(actor));
      if (row === null) throw notFound("Customer", nameOf(reference));
      return row;
    },

    /**
     * Stores a customer, or finds the one that the same request has stored before. One more round trip
     * for each time that the random signs of its slug were taken, or to read the first request.
     */
    async create(
      db: Database,
      origin: Origin,
      { name, slug: wanted }: CreateCustomerInput,
      claim: IdempotencyClaim | null,
    ): Promise<{ customer: CustomerRow; replayed: boolean }> {
      for (let draw = 0; draw < MAX_DRAWS; draw++) {
        const now = clock.now();
        const uuid = crypto.randomUUID();
        const row = { uuid, name, createdAt: now, modifiedAt: now, version: 1 };
        const slug = await chooseSlug(wanted ?? null, name);
        try {
          const act = { origin, now, details: {} };
          return { customer: await insertCustomer(db, row, slug, claim, act), replayed: false };
        } catch (error) {
          const taken = uniqueViolation(error);
          if (taken === null) throw error;
          if (claim !== null && isRepeat(taken)) {
            // Stored by `insertCustomer` as the row that it was.
            return { customer: (await findFirst(claim)) as CustomerRow, replayed: true };
          }
        }
      }
      throw new Error(`No free slug in ${MAX_DRAWS} draws`);
    },

    /** Null means the same as absent: unchanged. */
    async update(
      db: Database,
      origin: Origin,
      reference: Reference,
      precondition: Precondition | null,
      input: UpdateCustomerInput,
    ): Promise<CustomerRow> {
      const changes = { name: input.name ?? undefined, slug: input.slug ?? undefined };
      const rules = [notAnonymous(customers), ...versionRules("customer", customers, precondition)];
      const act = { origin, now: clock.now(), details: { fields: fieldsOf(changes) } };
      try {
        const { verdict, customer } = await updateCustomer(db, reference, rules, changes, act);
        if (verdict === null) throw notFound("Customer", nameOf(reference));
        checkRules(rules, verdict);
        if (customer === null) throw new Error("All rules held, and nothing was changed");
        return customer;
      } catch (error) {
        if (uniqueViolation(error) === null) throw error;
        const message = `Customer with slug '${changes.slug}' already exists`;
        throw new ApiError("RESOURCE_ALREADY_EXISTS", message);
      }
    },
  };
}

/** The internal id of the only customer that an administrator sees; null for all. */
function seenBy({ role, customerId }: Actor): number | null {
  return role === "root_admin" ? null : customerId;
}

/** The names of what is to be changed, for the audit trail. */
function fieldsOf(changes: object): string[] {
  return Object.entries(changes).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}
