/** The wire form of hardware specs. */
import { z } from "@hono/zod-openapi";
import { pagination } from "../api/lists.ts";
import { nameText, slug } from "../api/names.ts";
import { integer, timestamp, uuid } from "../api/schemas.ts";
import { ARCHITECTURES, OPERATING_SYSTEMS } from "../lib/enums.ts";

const name = nameText({
  description: "1 to 64 bytes of UTF-8, without white space at the ends. Names need not be unique.",
  example: "H100 node",
});
const specSlug = slug({ description: "Names the spec in paths; unique.", example: "h100-node" });
const specUuid = uuid.openapi({ description: "Permanent id of the spec." });

const os = z.enum(OPERATING_SYSTEMS).openapi({ description: "Operating system." });
const architecture = z
  .enum(ARCHITECTURES)
  .openapi({ description: "CPU architecture.", example: "x86_64" });
const cpu = integer({
  min: 1,
  max: 2 ** 31 - 1,
  description: "Number of CPUs.",
  example: 26,
});
const bytes = (description: string, example: number) =>
  integer({ min: 1, max: Number.MAX_SAFE_INTEGER, description, example });
const memory = bytes("Memory in bytes.", 240_518_168_576);
const disk = bytes("Disk in bytes.", 1_099_511_627_776);
const network = z.boolean().openapi({ description: "True if it has network access." });

/** The fields that never change. */
const hardware = { architecture, cpu, memory, disk };

const FALLBACK = "Only `false`: a spec never replaces another. `true` is refused.";
const NO_SANDBOX = "is not supported: leave it out, or send null";
const noFallback = z
  .boolean("is not supported: leave it out, or send false")
  .refine((value) => !value, "is not supported: leave it out, or send false");

export const createSpecBody = z
  .object({
    name,
    slug: specSlug.nullish().openapi({
      description:
        "Made from the name if omitted or null. If it is taken, a random suffix is appended.",
    }),
    ...hardware,
    os: os.default("linux"),
    network: network.default(false),
    fallback: noFallback.optional().openapi({ description: FALLBACK }),
    sandbox: z
      .string(NO_SANDBOX)
      .nullish()
      .refine((value) => value === undefined || value === null, NO_SANDBOX)
      .openapi({
        maxLength: 64,
        pattern: "^[a-z]*$",
        description: "Only null: there is no sandbox. Names of sandboxes are refused.",
      }),
  })
  .openapi("CreateSpec", { description: "A hardware spec to create." });

export const updateSpecBody = z
  .object({
    name: name.nullish(),
    slug: specSlug.nullish().openapi({ description: "New slug; it must be free." }),
    archived: z.boolean().nullish().openapi({
      description:
        "`true` archives the spec: it disappears from lists and catalogue, and no job can be created for it. `false` restores it.",
    }),
    fallback: noFallback.nullish().openapi({ description: FALLBACK }),
  })
  .openapi("UpdateSpec", {
    description: "The changes. Omitted and null fields stay unchanged.",
  });

export const spec = z
  .strictObject({
    uuid: specUuid,
    name,
    slug: specSlug,
    os,
    ...hardware,
    network,
    created: timestamp.openapi({ description: "When it was created." }),
    modified: timestamp.openapi({ description: "When it was last changed." }),
    archived: timestamp
      .nullable()
      .openapi({ description: "When it was archived; null if it is not." }),
  })
  .openapi("Spec", { description: "A hardware spec: a type of machine." });

export const specList = z
  .array(spec)
  .max(255)
  .openapi("SpecList", { description: "The specs of this page." });

const catalogueEntry = z
  .strictObject({
    uuid: specUuid,
    slug: specSlug,
    name,
    os,
    ...hardware,
    network,
    runners_online: integer({
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      description: "Runners that offer it and are in contact, including busy ones.",
      example: 3,
    }),
  })
  .openapi("CatalogueSpec", { description: "A hardware spec that jobs can be created for." });

export const catalogue = z
  .strictObject({
    results: z.array(catalogueEntry).max(300).openapi({ description: "The specs of this page." }),
    pagination,
  })
  .openapi("SpecCatalogue", { description: "One page of the catalogue of hardware specs." });

export type CreateSpecInput = z.infer<typeof createSpecBody>;
export type UpdateSpecInput = z.infer<typeof updateSpecBody>;
export type SpecWire = z.infer<typeof spec>;
export type CatalogueEntryWire = z.infer<typeof catalogueEntry>;
