import { z } from "@hono/zod-openapi";
import { json, operation } from "../api/operation.ts";
import { queryChoice, queryList, queryText } from "../api/query-parameters.ts";
import { CONTROL, text } from "../api/schemas.ts";
import { GROUPINGS, RATED_METRICS } from "../lib/enums.ts";
import {
  type ComparisonWire,
  comparison,
  MAX_KEY,
  MAX_KEYS,
  MAX_RESULTS,
  MIN_KEYS,
} from "./schemas.ts";

const example: ComparisonWire = {
  group_by: "provider",
  metric: "bf16_tflops",
  groups: [
    {
      key: "lambda",
      label: "lambda",
      n: 24,
      machines: 8,
      min: 258.4,
      q1: 263.1,
      median: 265.2,
      q3: 268.9,
      max: 272.6,
      class: "library-gemm",
    },
    {
      key: "example cloud",
      label: "example cloud",
      n: 0,
      machines: 0,
      min: null,
      q1: null,
      median: null,
      q3: null,
      max: null,
      class: null,
    },
  ],
};

const key = text({ min: 1, max: MAX_KEY, trim: true, isName: true, description: "A key." });

export const compareRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/comparison",
  operationId: "compare",
  tags: ["Machines"],
  summary: "Compare figures",
  description: `Returns minimum, quartiles and maximum of a metric per GPU, for ${MIN_KEYS} to ${MAX_KEYS} jobs, machines, GPU models, providers, regions or hardware specs. A figure is the mean over the GPUs of one model in one machine and one job.

Each key has a group for each class of methods, since figures of different classes cannot be compared. A key without figures has one empty group, and so has a job or machine that you may not see. Only figures of ended and rated jobs count. Figures of recordings, busy GPUs, unfinished measurements, failed checks and unknown methods are left out, and so are implausible figures. Each key has the newest ${MAX_RESULTS.toLocaleString("en")} results, by the creation time of their job; the server reads no further rows, however many there are. Quartiles are interpolated linearly.

Figures come from the jobs that you may see: regular users compare their own, customer admins those of their customer, staff and root admins all.`,
  access: "user",
  single: true,
  counts: true,
  request: {
    query: z.object({
      group_by: queryChoice(GROUPINGS, "The kind of the keys.").openapi({
        param: { name: "group_by", in: "query", example: "provider" },
      }),
      key: queryList(key)
        .refine(
          (keys) => keys.length >= MIN_KEYS && keys.length <= MAX_KEYS,
          `must be given ${MIN_KEYS} to ${MAX_KEYS} times`,
        )
        .openapi({
          type: "array",
          items: { type: "string", minLength: 1, maxLength: MAX_KEY, pattern: `^[^${CONTROL}]+$` },
          minItems: MIN_KEYS,
          maxItems: MAX_KEYS,
          description:
            "Repeated: ids of jobs, UUIDs of machines, GPU models in any common spelling, providers or regions in any case, or UUIDs or slugs of specs. For a spec, figures of the jobs that expect it.",
          example: ["lambda", "example cloud"],
        }),
      metric: queryChoice(RATED_METRICS, "The compared metric.").default("bf16_tflops"),
      gpu_model: queryText({
        max: 128,
        description:
          "Only figures of this GPU model, in any common spelling, so that providers can be compared fairly. An empty value is ignored.",
        example: "a100-sxm4-80gb",
      }),
    }),
  },
  responses: { 200: json(comparison, { description: "The groups.", example }) },
});

export type CompareQuery = z.infer<typeof compareRoute.request.query>;
