/** Schemas of baselines in the API. */

import { z } from "@hono/zod-openapi";
import { figure, integer, orNull, patternText, text, timestamp } from "../api/schemas.ts";
import { RATED_METRICS } from "../lib/enums.ts";
import { baselineSource } from "./verdict-schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;
/** Bound of a pinned value. */
const MAX_PINNED = 1_000_000;
/** Bound of this server's own baselines in the list. */
export const MAX_BASELINES = 2_000;

export const ratedMetric = z
  .enum(RATED_METRICS, `must be one of ${RATED_METRICS.join(", ")}`)
  .openapi({
    description: "The rated metric, per GPU: BF16 in TFLOPS, or memory bandwidth in GB/s.",
  });

export const methodClass = patternText({
  pattern: /^[a-z0-9-]+$/,
  max: 64,
  description:
    "Class of methods; only figures of the same class are compared. `quickmark`: QuickMark's own, and the recorded runs.",
  example: "quickmark",
});

const version = integer({
  min: 0,
  max: MAX_COUNT,
  description: "Increases with every change; 0 for shipped baselines that were never changed here.",
});

export const baseline = z
  .strictObject({
    model: text({ min: 1, max: 256, description: "Normalised name of the GPU model." }),
    metric: ratedMetric,
    class: methodClass,
    gpu_model: orNull(
      text({ min: 1, max: 128, description: "GPU model, as named by drivers; null if unknown." }),
    ),
    version,
    source: orNull(baselineSource).openapi({
      description: "The source of `value`; null if there is no baseline.",
    }),
    value: figure(
      "The baseline used for rating, unless a customer's own fleet is higher; null if there is none.",
    ).nullable(),
    fleet: orNull(
      z.strictObject({
        median: figure("Median of customers' medians of their machines' latest results."),
        machines: integer({ min: 1, max: MAX_COUNT, description: "Number of machines." }),
        computed_at: timestamp,
      }),
    ).openapi({
      description:
        "Null for fewer than 3 customers with 5 machines each, or too few machines in total.",
    }),
    shipped: orNull(
      z.strictObject({
        median: figure("Median of recorded runs."),
        lower_quartile: figure("Null: not recorded.").nullable(),
        upper_quartile: figure("Null: not recorded.").nullable(),
        min: figure("The slowest run."),
        max: figure("The fastest run."),
        runs: integer({ min: 1, max: MAX_COUNT, description: "Number of runs." }),
      }),
    ).openapi({ description: "Figures shipped with the server; null for other models." }),
    fleet_to_shipped: figure(
      "Fleet median divided by shipped median; far below 1 means that most of the fleet is slow. Null if either is missing.",
    ).nullable(),
    pinned: orNull(z.strictObject({ value: figure("The pinned value."), at: timestamp })).openapi({
      description: "The value pinned by an administrator; null for none.",
    }),
    data_sheet: figure(
      "The manufacturer's peak figure; null if unknown. Never a baseline.",
    ).nullable(),
  })
  .openapi("Baseline", {
    description: "The baseline of a metric of a GPU model, for one class of methods.",
  });

const share = (description: string) => figure(description, { minimum: 0 });

export const baselineList = z
  .strictObject({
    version,
    thresholds: z
      .strictObject({
        underperforming_below: share("Share of the baseline."),
        outperforming_above: share("Share of the baseline."),
        straggler_below: share("Share of the median of the node's GPUs."),
        drop_below: share("Share of the machine's previous figure."),
        fleet_min_machines: integer({
          min: 3,
          max: 5_000,
          description: "Number of machines needed for the median of a fleet.",
        }),
      })
      .openapi({ description: "The thresholds of the verdicts." }),
    shipped_source: text({ max: 512, description: "Origin of the shipped figures." }),
    baselines: z
      .array(baseline)
      .max(MAX_BASELINES + 100)
      .openapi({ description: "Baselines by model and metric." }),
  })
  .openapi("Baselines", { description: "All baselines, and the thresholds of the verdicts." });

export const pinBody = z
  .object({
    value: z
      .number()
      .refine((value) => value > 0 && value <= MAX_PINNED, "must be above 0 and at most 1000000")
      .openapi({
        format: "double",
        maximum: MAX_PINNED,
        description: "Baseline per GPU, in the metric's unit: above 0.",
        example: 260.5,
      }),
  })
  .openapi("PinBaseline", { description: "The value to pin." });

export const modelParameter = text({
  min: 1,
  max: 128,
  description: "GPU model, in any common spelling.",
  example: "a100-sxm4-80gb",
}).openapi({ param: { name: "model", in: "path" } });

export type BaselineWire = z.infer<typeof baseline>;
export type BaselineListWire = z.infer<typeof baselineList>;
