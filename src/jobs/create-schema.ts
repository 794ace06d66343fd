/** What creating a job reads. */
import { z } from "@hono/zod-openapi";
import { CATALOGUE } from "../benchmarks/catalogue.ts";
import { CONFIG_BYTES, MAX_BENCHMARKS, MAX_NODES } from "../coordinator/wire-schemas.ts";
import { reference } from "../http/reference.ts";
import { CLOSED, integer, jsonObject, text } from "../http/schemas.ts";

export const MAX_TAGS = 10;
/** Letters (with their marks) and digits of any script, and a few signs (contract §4). */
const FORBIDDEN_IN_TAG = /[^\p{L}\p{M}\p{N} _\-.:/@+=#]/u;
/** The same for the document; ASCII by name, for readers without Unicode properties. */
const TAG_PATTERN =
  "^[A-Za-z0-9\\p{L}\\p{M}\\p{N} _.:/@+=#-]*[A-Za-z0-9\\p{L}\\p{M}\\p{N}_.:/@+=#-][A-Za-z0-9\\p{L}\\p{M}\\p{N} _.:/@+=#-]*$";
const TAG_LENGTH = 50;
/** A tag, for places of the document that its schema does not reach. */
export const tagDocumentation = {
  type: "string" as const,
  minLength: 1,
  maxLength: TAG_LENGTH,
  pattern: TAG_PATTERN,
};
export const tag = text({
  min: 1,
  max: TAG_LENGTH,
  trim: true,
  description: "Letters and digits of any script, space, and `_ - . : / @ + = #`.",
  example: "production",
})
  .check((context) => {
    const forbidden = FORBIDDEN_IN_TAG.exec(context.value)?.[0];
    if (forbidden !== undefined) {
      const message = `must not contain '${forbidden}'; allowed are letters, digits, space and _ - . : / @ + = #`;
      context.issues.push({ code: "custom", input: context.value, message });
    }
  })
  .openapi({ pattern: TAG_PATTERN });

export const jobName = {
  min: 1,
  max: 60,
  trim: true,
  description: "Unique per customer among jobs that are not deleted.",
  example: "GPU Benchmark Test",
};
export const jobDescription = { max: 512, multiline: true, description: "What the job is for." };

const requestedBenchmark = z
  .string()
  .min(1)
  .max(64)
  .openapi({
    enum: CATALOGUE.map(({ id }) => id),
    description: "A benchmark's id, as `GET /benchmarks` lists them.",
    example: "cluster_network",
  });

const benchmarkChoice = z
  .union(
    [
      requestedBenchmark.transform((benchmark_id) => ({ benchmark_id, config: null })),
      z
        .object({
          benchmark_id: requestedBenchmark,
          config: jsonObject({
            maxBytes: CONFIG_BYTES,
            description:
              "Options, as the benchmark's `config_schema` in `GET /benchmarks` describes them; unknown ones are refused. Null and `{}` mean none.",
          }).nullish(),
        })
        .openapi(CLOSED),
    ],
    "must be a benchmark id of 1 to 64 characters, or an object with benchmark_id and config",
  )
  .openapi({ description: "A benchmark id, or an id with options." });

export const createJobBody = z
  .object({
    name: text({
      ...jobName,
      description: `${jobName.description} Generated when left out or null.`,
    }).nullish(),
    description: text(jobDescription).nullish(),
    benchmarks: z.array(benchmarkChoice).max(MAX_BENCHMARKS).openapi({
      description:
        "What to run. `quick_mark` is always part of it and comes first; an empty list means `quick_mark` alone. The same benchmark may run twice with different options, not with the same.",
    }),
    node_count: integer({
      min: 1,
      max: MAX_NODES,
      description: "How many nodes are expected. Some benchmarks need at least two.",
      example: 4,
    })
      .default(1)
      .openapi({ default: 1 }),
    tags: z
      .array(tag)
      .transform((given) => [...new Set(given)])
      .refine((distinct) => distinct.length <= MAX_TAGS, `must have at most ${MAX_TAGS} entries`)
      .nullish()
      .openapi({ maxItems: MAX_TAGS, description: "To find the job by; repeated ones collapse." }),
    spec: reference({
      description:
        "The hardware spec to run on, by UUID or slug; one that is not archived. `GET /specs` lists them.",
      example: "h100-node",
    }).nullish(),
  })
  .openapi("CreateJob", { ...CLOSED, description: "A job to create." });

export type CreateJobInput = z.infer<typeof createJobBody>;
