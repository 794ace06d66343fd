/** What creating a job without an account reads. */
import { z } from "@hono/zod-openapi";
import { quickMark } from "../../benchmarks/quick-mark.ts";
import { CONFIG_BYTES } from "../../coordinator/wire-schemas.ts";
import { CLOSED, jsonObject } from "../../http/schemas.ts";
import { createJobBody } from "../create-schema.ts";

/** What only people with an account choose: a name could tell which names there are. */
const NEEDS_ACCOUNT = {
  name: "cannot be chosen without an account: it is generated",
  spec: "needs an account: sign in, or leave it out",
};

const onlyBenchmark = z.literal(quickMark.id);

const benchmarkChoice = z
  .union(
    [
      onlyBenchmark.transform((benchmark_id) => ({ benchmark_id, config: null })),
      z
        .object({
          benchmark_id: onlyBenchmark,
          config: jsonObject({
            maxBytes: CONFIG_BYTES,
            description: "Has no options: null or `{}`.",
          })
            .openapi({ maxProperties: 0 })
            .nullish(),
        })
        .openapi(CLOSED),
    ],
    `must be ${quickMark.id}: other benchmarks need an account`,
  )
  .openapi({ description: "`quick_mark`, however it is written." });

const { description, tags } = createJobBody.shape;

export const createAnonymousJobBody = z
  .looseObject({
    description,
    benchmarks: z
      .array(benchmarkChoice)
      .max(1)
      .default([])
      .openapi({ default: [], description: "`quick_mark` alone, said or not." }),
    node_count: z
      .literal(1, "must be 1: more nodes need an account")
      .default(1)
      .openapi({
        ...{ type: "integer", format: "int32", minimum: 1, maximum: 1 },
        ...{ default: 1, description: "One." },
      }),
    tags,
  })
  .check((context) => {
    for (const [field, message] of Object.entries(NEEDS_ACCOUNT)) {
      const given = context.value[field];
      // Null is what a client sends for nothing.
      if (given === undefined || given === null) continue;
      context.issues.push({ code: "custom", input: given, path: [field], message });
    }
  })
  .openapi("CreateAnonymousJob", {
    ...CLOSED,
    description: "A job without an account; everything may be left out.",
  });

export type CreateAnonymousJobInput = z.infer<typeof createAnonymousJobBody>;
