/** `measurement` of a QuickMark result: how its figures were made, and what a verdict needs to know of that. Pure. */
import { z } from "@hono/zod-openapi";
import { KIB } from "../lib/bytes.ts";
import { RATED_METRICS, type RatedMetric } from "../lib/enums.ts";
import { isObject, utf8Length } from "../lib/json.ts";
import type { Provenance, Withheld } from "../lib/stored-json.ts";
import type { JsonObject } from "./benchmark.ts";
import { MAX_GPUS_PER_NODE } from "./gpus.ts";
import { type CheckedMeasurement, hasClockFault, hasFailedChecks, healthOf } from "./health.ts";

/** The version of the form that this server reads. Methods of a later one are unknown. */
const VERSION = 1;
export const MAX_MEASUREMENT_KIB = 32;
/** Far more than there are metrics. */
const MAX_METRICS = 64;
const MAX_FAULTS = 256;

const metricName = z.string().min(1).max(64);
const name = z.string().max(128);
const share = z.number().nullish();

const quality = z.looseObject({
  settled: z.boolean(),
  spread: share,
  drift: share,
  samples: z.int().min(0).nullish(),
  calls_per_sample: z.int().min(0).nullish(),
});

const fault = z.looseObject({
  metric: metricName,
  gpu: z.int().min(0).max(1_023).nullish(),
  code: name.min(1),
  message: z.string().max(2_048),
});

const form = z.looseObject({
  partial: z.boolean().nullish(),
  engine: z
    .looseObject({
      id: name.nullish(),
      library: name.nullish(),
      ffi: name.nullish(),
      driver: name.nullish(),
      cuda: z.int().min(0).nullish(),
    })
    .nullish(),
  methods: z
    .record(metricName, name.min(1))
    .refine(atMost(MAX_METRICS), `must have at most ${MAX_METRICS} entries`),
  quality: z
    .record(metricName, quality)
    .refine(atMost(MAX_METRICS), `must have at most ${MAX_METRICS} entries`)
    .nullish(),
  conditions: z
    .looseObject({
      busy: z.boolean().nullish(),
      throttle: z.array(name).max(64).nullish(),
      end_to_start: share,
      // A sensor without a value costs nobody the figures: `health.ts` reads what has the right type.
      facts: z.array(z.looseObject({})).max(MAX_GPUS_PER_NODE).nullish(),
    })
    .nullish(),
  checks: z.looseObject({ gemm_repeatable: z.boolean().nullish(), gemm_error: share }).nullish(),
  faults: z.array(fault).max(MAX_FAULTS).nullish(),
});

function atMost(max: number) {
  return (value: object) => Object.keys(value).length <= max;
}

/** Of a later version nothing is known but its size. */
export const measurement = z
  .looseObject({ version: z.int("must be a whole number").min(1) })
  .check(({ value, issues }) => {
    if (utf8Length(JSON.stringify(value)) > MAX_MEASUREMENT_KIB * KIB) {
      const message = `must have at most ${MAX_MEASUREMENT_KIB} KiB`;
      issues.push({ code: "custom", input: value, message });
    }
    if (value.version !== VERSION) return;
    const faults = form.safeParse(value).error?.issues ?? [];
    // The same issues, of a value within this one.
    issues.push(...faults.map((fault) => ({ ...fault, input: value }) as z.core.$ZodRawIssue));
  });

/** The measurement of a result in the form that this server knows, or null. */
function readMeasurement(sent: unknown): CheckedMeasurement | null {
  if (!isObject(sent) || sent.version !== VERSION) return null;
  const parsed = form.safeParse(sent);
  return parsed.success ? parsed.data : null;
}

/** A recording in place of a measurement. */
export function isReplayed({ replayed }: { readonly [field: string]: unknown }): boolean {
  return replayed !== undefined && replayed !== null && replayed !== false;
}

/** The result ended early, and lacks figures that every result must have. */
export function isPartial(result: JsonObject): boolean {
  return isObject(result.measurement) && result.measurement.partial === true;
}

/**
 * What a verdict needs to know of how a valid result's figures were made; null for a result that QuickMark itself has
 * measured, which says nothing of that.
 */
export function provenanceOf(result: JsonObject): Provenance | null {
  const replayed: readonly Withheld[] = isReplayed(result) ? ["replayed"] : [];
  if (!isObject(result.measurement)) {
    const nothing = { methods: null, unsettled: [], health: [] };
    return replayed.length === 0 ? null : { withheld: replayed, ...nothing };
  }
  const known = readMeasurement(result.measurement);
  const withheld: Withheld[] = [
    ...replayed,
    ...(known?.conditions?.busy === true ? (["busy"] as const) : []),
    ...(isPartial(result) ? (["partial"] as const) : []),
    ...(known !== null && hasFailedChecks(known) ? (["checks"] as const) : []),
    ...(known !== null && hasClockFault(known) ? (["clock"] as const) : []),
  ];
  const methodOf = (metric: RatedMetric) => known?.methods[metric] ?? "";
  return {
    withheld,
    methods: {
      bf16_tflops: methodOf("bf16_tflops"),
      memory_bandwidth_gbs: methodOf("memory_bandwidth_gbs"),
    },
    unsettled: RATED_METRICS.filter((metric) => known?.quality?.[metric]?.settled === false),
    health: known === null ? [] : healthOf(known),
  };
}
