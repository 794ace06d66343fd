/** Examples of the API document: one spec. */
import type { CatalogueEntryWire, SpecWire } from "./schemas.ts";

const facts = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  slug: "h100-node",
  name: "H100 node",
  os: "linux" as const,
  architecture: "x86_64" as const,
  cpu: 26,
  memory: 240_518_168_576,
  disk: 1_099_511_627_776,
  network: true,
};

export const catalogueExample: CatalogueEntryWire = { ...facts, runners_online: 3 };

export const specExample: SpecWire = {
  ...facts,
  created: "2024-03-15T10:30:00.000Z",
  modified: "2024-03-15T10:30:00.000Z",
  archived: null,
};
