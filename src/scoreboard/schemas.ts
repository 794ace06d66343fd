/** What baselines look like on the wire. */
import { z } from "@hono/zod-openapi";
import { CLOSED, figure, integer, orNull, text, timestamp } from "../http/schemas.ts";
import { RATED_METRICS } from "./metrics.ts";
import { baselineSource } from "./verdict-schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;
/** Of the server, the shipped ones aside. */
export const MAX_BASELINES = 2_000;
/** As for a figure per GPU. */
const MAX_PINNED = 1_000_000;

export const ratedMetric = z
  .enum(RATED_METRICS, `must be one of ${RATED_METRICS.join(", ")}`)
  .openapi({ description: "The metric, per GPU: BF16 in TFLOPS, or memory bandwidth in GB/s." });

const version = integer({
  min: 0,
  max: MAX_COUNT,
  description: "Moves with every change; 0 for what was only ever shipped.",
});

export const baseline = z
  .strictObject({
    model: text({ min: 1, max: 256, description: "The GPU model, normalised." }),
    metric: ratedMetric,
    gpu_model: orNull(text({ min: 1, max: 128, description: "As drivers name it, if known." })),
    version,
    source: orNull(baselineSource).openapi({ description: "Which one rates; null for none." }),
    value: figure("What rates; null for nothing.").nullable(),
    fleet: orNull(
      z.strictObject({
        median: figure("Of this server's machines, each with its latest result."),
        lower_quartile: figure("A quarter of them is below."),
        upper_quartile: figure("A quarter of them is above."),
        machines: integer({ min: 1, max: MAX_COUNT, description: "How many there are." }),
        computed_at: timestamp,
      }),
    ).openapi({ description: "Null while too few machines have measured." }),
    shipped: orNull(
      z.strictObject({
        median: figure("Of recorded runs."),
        lower_quartile: z.null().openapi({ description: "Not recorded." }),
        upper_quartile: z.null().openapi({ description: "Not recorded." }),
        min: figure("The slowest run."),
        max: figure("The fastest run."),
        runs: integer({ min: 1, max: MAX_COUNT, description: "How many there are." }),
      }),
    ).openapi({ description: "What the project brings; null for nothing." }),
    fleet_to_shipped: figure(
      "Fleet median by shipped median: far below 1, the fleet is bad. Null where one is missing.",
    ).nullable(),
    pinned: orNull(z.strictObject({ value: figure("What was set."), at: timestamp })).openapi({
      description: "What an administrator has set; null for nothing.",
    }),
    data_sheet: figure(
      "The manufacturer's peak figure, or null. For information: it never rates.",
    ).nullable(),
  })
  .openapi("Baseline", { description: "What a metric of a GPU model is compared with." });

const share = (description: string) => figure(description, { minimum: 0 });

export const baselineList = z
  .strictObject({
    version,
    thresholds: z
      .strictObject({
        underperforming_below: share("Of the baseline."),
        outperforming_above: share("Of the baseline."),
        straggler_below: share("Of the node's median."),
        drop_below: share("Of the machine's previous figure."),
        fleet_min_machines: integer({ min: 3, max: 5_000, description: "For a fleet's median." }),
      })
      .openapi({ description: "What the verdicts follow from." }),
    shipped_source: text({ max: 512, description: "Where the shipped figures come from." }),
    baselines: z
      .array(baseline)
      .max(MAX_BASELINES + 100)
      .openapi({ description: "By model and metric." }),
  })
  .openapi("Baselines", { description: "All baselines." });

export const pinBody = z
  .object({
    value: z
      .number()
      .refine((value) => value > 0 && value <= MAX_PINNED, "must be above 0 and at most 1000000")
      .openapi({
        ...{ format: "double", exclusiveMinimum: 0, maximum: MAX_PINNED },
        description: "Per GPU, in the metric's unit.",
        example: 260.5,
      }),
  })
  .openapi("PinBaseline", { ...CLOSED, description: "What the metric is to be compared with." });

export const modelParameter = text({
  min: 1,
  max: 128,
  description: "The GPU model, in any usual spelling.",
  example: "a100-sxm4-80gb",
}).openapi({ param: { name: "model", in: "path" } });

export type BaselineWire = z.infer<typeof baseline>;
export type BaselineListWire = z.infer<typeof baselineList>;
