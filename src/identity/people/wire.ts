import { versionTag } from "../../http/entity-tag.ts";
import { toTimestamp } from "../../lib/clock.ts";
import type { UserWire } from "./schemas.ts";
import type { PersonRow } from "./store.ts";

export function toUser(row: PersonRow): UserWire {
  const { uuid, name, slug } = row.customer;
  return {
    uuid: row.uuid,
    email: row.email,
    name: row.name,
    slug: row.slug,
    role: row.role,
    admin: row.role === "root_admin",
    customer: { uuid, name, slug },
    locked: row.locked,
    created: toTimestamp(row.createdAt),
    modified: toTimestamp(row.modifiedAt),
  };
}

/** The tag includes the version of the customer, whose name a person shows. */
export function userTag(row: PersonRow): string {
  return versionTag(row, row.customer.version);
}
