/** Body of the request that creates a job. */
import { z } from "@hono/zod-openapi";
import { reference } from "../api/names.ts";
import { integer, jsonObject, text } from "../api/schemas.ts";
import { CATALOGUE } from "../benchmarks/catalogue.ts";
import { CONFIG_BYTES, MAX_BENCHMARKS, MAX_NODES } from "../coordinator/wire/task.ts";

export const MAX_TAGS = 10;
/** Allowed are letters (with their marks) and digits of any script, and a few symbols (docs/contract.md, "Jobs"). */
const FORBIDDEN_IN_TAG = /[^\p{L}\p{M}\p{N} _\-.:/@+=#]/u;
/** The same rule in the API document; ASCII is spelled out for readers without Unicode properties. */
const TAG_PATTERN =
  "^[A-Za-z0-9\\p{L}\\p{M}\\p{N} _.:/@+=#-]*[A-Za-z0-9\\p{L}\\p{M}\\p{N}_.:/@+=#-][A-Za-z0-9\\p{L}\\p{M}\\p{N} _.:/@+=#-]*$";
const TAG_LENGTH = 50;
/** A tag in the API document, where the schema `tag` cannot be used. */
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
  isName: true,
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
  isName: true,
  description: "Unique per customer among jobs that are not deleted.",
  example: "GPU Benchmark Test",
};
export const jobDescription = { max: 512, multiline: true, description: "The purpose of the job." };

const ORIGIN_LENGTH = 100;
export const jobProvider = {
  max: ORIGIN_LENGTH,
  trim: true,
  isName: true,
  description: "Where the machines were rented, for filters and reports.",
  example: "Example Cloud",
};
export const jobRegion = {
  ...jobProvider,
  description: "The provider's region or data centre.",
  example: "eu-north-1",
};
export const jobOrder = {
  ...jobProvider,
  description: "Number of the order or contract under which they were rented.",
  example: "PO-2024-117",
};

const BENCHMARK_IDS = CATALOGUE.map(({ id }) => id);
const requestedBenchmark = z.string().min(1).max(64);
const aboutBenchmark = {
  description: "A benchmark id, from `GET /benchmarks`.",
  example: "cluster_network",
};

const benchmarkChoice = z
  .union(
    [
      // An enumeration beside an object does not compile in TypeScript (documentFaults).
      requestedBenchmark
        .openapi({ pattern: `^(${BENCHMARK_IDS.join("|")})$`, ...aboutBenchmark })
        .transform((benchmark_id) => ({ benchmark_id, config: null })),
      z.object({
        benchmark_id: requestedBenchmark.openapi({ enum: BENCHMARK_IDS, ...aboutBenchmark }),
        config: jsonObject({
          maxBytes: CONFIG_BYTES,
          description:
            "Options that match the benchmark's `config_schema` in `GET /benchmarks`; unknown options are refused. Null and `{}` mean no options.",
        }).nullish(),
      }),
    ],
    "must be a benchmark id of 1 to 64 characters, or an object with benchmark_id and config",
  )
  .openapi({ description: "A benchmark id, or an id with options." });

export const createJobBody = z
  .object({
    name: text({
      ...jobName,
      description: `${jobName.description} Generated if omitted or null.`,
    }).nullish(),
    description: text(jobDescription).nullish(),
    benchmarks: z.array(benchmarkChoice).max(MAX_BENCHMARKS).openapi({
      description:
        "The benchmarks to run. `quick_mark` is always included and runs first; an empty list means only `quick_mark`. A benchmark may run twice, but only with different options.",
    }),
    node_count: integer({
      min: 1,
      max: MAX_NODES,
      description: "Number of expected nodes. Some benchmarks need at least two.",
      example: 4,
    })
      .default(1)
      .openapi({ default: 1 }),
    tags: z
      .array(tag)
      .transform((given) => [...new Set(given)])
      .refine((distinct) => distinct.length <= MAX_TAGS, `must have at most ${MAX_TAGS} entries`)
      .nullish()
      .openapi({
        maxItems: MAX_TAGS,
        description: "Tags for finding the job; duplicates are removed.",
      }),
    provider: text(jobProvider).nullish(),
    region: text(jobRegion).nullish(),
    order: text(jobOrder).nullish(),
    spec: reference({
      description:
        "The hardware spec to run on: UUID or slug of a spec that is not archived. `GET /specs` lists them.",
      example: "h100-node",
    }).nullish(),
    expected_spec: reference({
      description:
        "The hardware spec that the machines are compared with: UUID or slug of a spec that is not archived. Any machine may join. `spec` implies it; two different specs are refused.",
      example: "h100-node",
    }).nullish(),
  })
  .openapi("CreateJob", { description: "A job to create." });

/** The key meant by another; null for fields that clients may send for themselves, though they nearly are a key. */
export const JOB_KEY_ALIASES = {
  nodes: "node_count",
  num_nodes: "node_count",
  nodes_count: "node_count",
  nodeCount: "node_count",
  benchmark: "benchmarks",
  tag: "tags",
  desc: "description",
  title: "name",
  owner: null,
  reason: null,
};

export type CreateJobInput = z.infer<typeof createJobBody>;
