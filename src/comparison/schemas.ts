/** Wire form of comparisons. */
import { z } from "@hono/zod-openapi";
import { figure, integer, orNull, text } from "../api/schemas.ts";
import { GROUPINGS } from "../lib/enums.ts";
import { methodClass, ratedMetric } from "../scoreboard/schemas.ts";

/** Bound of a key: the longest is the name of a GPU model. */
export const MAX_KEY = 128;
export const MIN_KEYS = 2;
export const MAX_KEYS = 20;
/** Results of a group that are compared: the newest. */
export const MAX_RESULTS = 1_000;
/** A machine has at most so many GPU models, each with a figure of its own. */
const MAX_FIGURES = 16 * MAX_RESULTS;
/** Each key has a group for each class. */
const MAX_GROUPS = 8 * MAX_KEYS;

const value = (description: string) => figure(`${description} Null without figures.`).nullable();

const group = z
  .strictObject({
    key: text({ min: 1, max: MAX_KEY, description: "The key, as you sent it." }),
    label: text({
      min: 1,
      max: 255,
      description: "A name for people: of the job, machine, model or spec; else the key.",
    }),
    n: integer({ min: 0, max: MAX_FIGURES, description: "Number of figures." }),
    machines: integer({
      min: 0,
      max: MAX_RESULTS,
      description: "Number of machines with figures.",
    }),
    min: value("The lowest figure."),
    q1: value("The lower quartile."),
    median: value("The median."),
    q3: value("The upper quartile."),
    max: value("The highest figure."),
    class: orNull(methodClass).openapi({
      description: "Class of the figures' methods; null without figures.",
    }),
  })
  .openapi("ComparedGroup", { description: "The figures of one key and one class of methods." });

export const comparison = z
  .strictObject({
    group_by: z.enum(GROUPINGS).openapi({ description: "Grouping of the figures." }),
    metric: ratedMetric,
    groups: z.array(group).max(MAX_GROUPS).openapi({
      description: "The groups in the order of your keys, and then of their classes.",
    }),
  })
  .openapi("Comparison", { description: "Compared figures." });

export type GroupWire = z.infer<typeof group>;
export type ComparisonWire = z.infer<typeof comparison>;
