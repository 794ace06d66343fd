import { type SQL, sql } from "drizzle-orm";
import { byReference } from "../../db/named-rows.ts";
import { customers } from "../../db/schema.ts";
import type { Reference } from "../../lib/references.ts";

/** The id of the customer that a reference names; null without such a customer. */
export function customerIdOf(reference: Reference): SQL<number | null> {
  return sql`(select ${customers.id} from ${customers} where ${byReference(customers, reference)})`;
}
