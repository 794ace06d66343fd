import { toTimestamp } from "../../lib/clock.ts";
import type { CustomerWire } from "./schemas.ts";
import type { CustomerRow } from "./store.ts";

export function toCustomer(row: CustomerRow): CustomerWire {
  return {
    uuid: row.uuid,
    name: row.name,
    slug: row.slug,
    created: toTimestamp(row.createdAt),
    modified: toTimestamp(row.modifiedAt),
  };
}
