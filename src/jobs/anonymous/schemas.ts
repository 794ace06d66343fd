/** Body of the request that creates a job without an account. */
import { z } from "@hono/zod-openapi";
import { jsonObject } from "../../api/schemas.ts";
import { quickMark } from "../../benchmarks/quick-mark.ts";
import { CONFIG_BYTES } from "../../coordinator/wire/task.ts";
import { createJobBody } from "../create-schema.ts";

const NEEDED = "needs an account: sign in, or leave it out";

/** Fields that need an account. A free choice of names would reveal the names that are taken. */
const NEEDS_ACCOUNT = {
  name: "cannot be chosen without an account: it is generated",
  spec: NEEDED,
  expected_spec: NEEDED,
  provider: NEEDED,
  region: NEEDED,
  order: NEEDED,
};

const onlyBenchmark = z.literal(quickMark.id);

const benchmarkChoice = z
  .union(
    [
      z
        .string()
        .regex(new RegExp(`^${quickMark.id}$`))
        .max(64)
        .transform(() => ({ benchmark_id: quickMark.id, config: null })),
      z.object({
        benchmark_id: onlyBenchmark,
        config: jsonObject({
          maxBytes: CONFIG_BYTES,
          description: "Has no options: null or `{}`.",
        })
          .openapi({ maxProperties: 0 })
          .nullish(),
      }),
    ],
    `must be ${quickMark.id}: other benchmarks need an account`,
  )
  .openapi({ description: "`quick_mark`, as an id or as an object." });

const { description, tags } = createJobBody.shape;

export const createAnonymousJobBody = z
  .looseObject({
    description,
    benchmarks: z
      .array(benchmarkChoice)
      .max(1)
      .default([])
      .openapi({ default: [], description: "Empty, or only `quick_mark`; both mean the same." }),
    node_count: z.literal(1, "must be 1: more nodes need an account").default(1).openapi({
      type: "integer",
      format: "int32",
      minimum: 1,
      maximum: 1,
      default: 1,
      description: "Always 1.",
    }),
    tags,
  })
  .check((context) => {
    for (const [field, message] of Object.entries(NEEDS_ACCOUNT)) {
      const given = context.value[field];
      // Clients send null for an omitted field.
      if (given === undefined || given === null) continue;
      context.issues.push({ code: "custom", input: given, path: [field], message });
    }
  })
  .openapi("CreateAnonymousJob", {
    description: "A job to create without an account. Every field is optional.",
  });

export type CreateAnonymousJobInput = z.infer<typeof createAnonymousJobBody>;
