import { versionTag } from "../../http/entity-tag.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { parseRole } from "../service.ts";
import type { UserWire } from "./schemas.ts";
import type { PersonRow } from "./store.ts";

/** The customer as `PersonRow.customer` holds it. */
interface CustomerFacts {
  uuid: string;
  name: string;
  slug: string;
  version: number;
}

export function toUser(row: PersonRow): UserWire {
  const { uuid, name, slug } = customerOf(row);
  return {
    uuid: row.uuid,
    email: row.email,
    name: row.name,
    slug: row.slug,
    role: parseRole(row.role),
    customer: { uuid, name, slug },
    locked: row.locked,
    created: toTimestamp(row.createdAt),
    modified: toTimestamp(row.modifiedAt),
  };
}

/** A person shows the name of the customer, too. */
export function userTag(row: PersonRow): string {
  return versionTag(row, customerOf(row).version);
}

function customerOf({ customer }: PersonRow): CustomerFacts {
  return JSON.parse(customer); // written by the store as this
}
