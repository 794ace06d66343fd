import { toTimestamp } from "../lib/clock.ts";
import type { CatalogueEntryWire, SpecWire } from "./schemas.ts";
import type { ListedSpec, SpecRow } from "./store.ts";

export function toSpec(row: SpecRow): SpecWire {
  return {
    ...factsOf(row),
    created: toTimestamp(row.createdAt),
    modified: toTimestamp(row.modifiedAt),
    archived: toTimestamp(row.archivedAt),
  };
}

export function toCatalogueEntry(row: ListedSpec): CatalogueEntryWire {
  return { ...factsOf(row), runners_online: row.runnersOnline };
}

function factsOf(row: SpecRow) {
  return {
    uuid: row.uuid,
    slug: row.slug,
    name: row.name,
    os: row.os,
    architecture: row.architecture,
    cpu: row.cpu,
    memory: row.memory,
    disk: row.disk,
    network: row.network,
  };
}
