/**
 * Results of steps, from the body of a request to the stored text. The body is parsed once, here, and the text
 * of `results` is stored, projected and shown as it was sent (docs/architecture.md, "The path of a result").
 */
import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { jsonObject, text } from "../../api/schemas.ts";
import type { Benchmark, JsonObject, Measurer, ResultContext } from "../../benchmarks/benchmark.ts";
import { FREE_FIELDS, knownFields } from "../../benchmarks/quick-mark.ts";
import { toDetails } from "../../http/validation.ts";
import { KIB } from "../../lib/bytes.ts";
import { parseJsonBody } from "../../lib/exact-json.ts";
import type { FieldFault } from "../../lib/faults.ts";
import {
  canonicalJson,
  countMembers,
  findMember,
  sameJson,
  utf8Bytes,
  utf8Length,
  type WrittenMember,
} from "../../lib/json.ts";
import type { Implausible } from "../../lib/stored-json.ts";
import type { Refusal, StepEnd } from "./protocol.ts";
import { clockSkewMs } from "./task.ts";

const MAX_DETAILS = 20;
/** Bound of a request's body, as set by its route. */
export const MAX_SENT_BYTES = 1_024 * 1_024;
/**
 * Bound of a stored result. Only normalised text can be larger than the body: it writes `1e20` out as 21 digits.
 * The platform refuses rows above 2 MB.
 */
const MAX_STORED_BYTES = 1.5 * 1_024 * 1_024;

/** Bounds of a result as it is sent, and of its fields without a form, in a job without an account. */
const ANONYMOUS_KIB = 64;
const ANONYMOUS_FREE_KIB = 32;

/** Later times cannot be written in RFC 3339. */
const MAX_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

const instant = z.iso
  .datetime({ offset: true, error: "must be an RFC 3339 time such as 2024-03-15T10:30:00Z" })
  .transform((value) => Date.parse(value))
  .refine((ms) => ms >= 0 && ms <= MAX_TIME_MS, "must be between the years 1970 and 9999")
  .openapi({
    format: "date-time",
    description: "Time by the agent's own clock, in the years 1970 to 9999.",
    example: "2024-03-15T10:35:30Z",
    maxLength: 40,
  });

export const resultBody = z
  .object({
    state: z
      .enum(["completed", "failed"])
      .openapi({ description: "`completed` requires `results`, `failed` an `error_message`." }),
    started_at: instant,
    ended_at: instant,
    clock_skew_ms: clockSkewMs.nullish(),
    results: jsonObject({
      maxBytes: MAX_SENT_BYTES,
      description:
        "The step's figures, in the form of its benchmark; additional fields are stored, too. Required when `completed`.",
    }).nullish(),
    error_message: text({
      min: 1,
      max: 1000,
      multiline: true,
      description: "The reason for the failure. Required when `failed`.",
    }).nullish(),
  })
  .check((context) => {
    const { state, results, error_message } = context.value;
    const fail = (field: string, message: string) =>
      context.issues.push({ code: "custom", input: context.value, path: [field], message });
    if (state === "completed" && !results) fail("results", "is required with state completed");
    if (state === "failed" && !error_message) {
      fail("error_message", "is required with state failed");
    }
  })
  .openapi("StepResult", { description: "The end of a step on one node." });

/** A well-formed result, not yet checked by its benchmark. */
export interface SentResult {
  end: StepEnd;
  /** Equal for equal results, regardless of key order, white space and null for absent fields. */
  hash: string;
  /** Null for a failed step without figures. */
  results: { value: unknown; written: WrittenMember } | null;
}

/** The bound is that of `parseJsonBody`. */
const TOO_MANY = {
  field: "results",
  message: "must hold at most 50,000 JSON values in all; send fewer figures",
};

/** Parses the body of a result and checks its form. */
export function readResult(body: string): { ok: true; sent: SentResult } | Refusal {
  const json = parseJsonBody(body, TOO_MANY);
  if (!json.ok) return { ok: false, reason: "body_invalid", fault: json.fault };
  const parsed = resultBody.safeParse(json.value);
  if (!parsed.success) {
    const details = toDetails(parsed.error.issues).slice(0, MAX_DETAILS);
    return { ok: false, reason: "result_invalid", details };
  }
  const { state, started_at, ended_at, results = null, error_message = null } = parsed.data;
  const clockSkewMs = parsed.data.clock_skew_ms ?? null;
  const written = results === null ? null : findMember(body, "results");
  return {
    ok: true,
    sent: {
      end: {
        state,
        startedAt: started_at,
        endedAt: ended_at,
        errorMessage: error_message,
        clockSkewMs,
      },
      hash: hashOf({ state, started_at, ended_at, clockSkewMs, results, error_message }),
      results: written === null ? null : { value: json.value.results, written },
    },
  };
}

function hashOf(result: object): string {
  return createHash("sha256").update(canonicalJson(result)).digest("base64url");
}

/** A node's measurements in one step, ready to be stored. */
export interface CheckedResults {
  /** UTF-8 of JSON in the form of the benchmark's schema. */
  bytes: Uint8Array;
  /** The part needed for the benchmark's summary. */
  digest: JsonObject;
  implausible: Implausible[];
}

/**
 * Validates by the benchmark's schema, then by the rules that depend on the sender. `results` is null for a
 * failed step without figures. Anyone can create a job without an account, so that only its known fields are kept.
 */
export function checkResults(
  benchmark: Benchmark,
  { results }: SentResult,
  {
    isAnonymous,
    hardware,
    models,
    cardGbps = null,
    ...context
  }: ResultContext & Measurer & { isAnonymous: boolean },
): { ok: true; results: CheckedResults | null } | Refusal {
  if (results === null) return { ok: true, results: null };
  const { value, written } = results;
  if (isAnonymous && utf8Length(written.text) > ANONYMOUS_KIB * KIB) {
    return { ok: false, reason: "anonymous_too_large", what: "A result", kib: ANONYMOUS_KIB };
  }
  const parsed = benchmark.result.safeParse(value);
  if (!parsed.success) return invalid(toDetails(parsed.error.issues));
  const fault = benchmark.checkResult(parsed.data, context);
  if (fault !== null) return invalid([fault]);
  // Such a job runs quick_mark alone.
  const kept = isAnonymous ? knownFields(parsed.data) : parsed.data;
  const free = FREE_FIELDS.map((name) => kept[name]);
  if (isAnonymous && utf8Length(JSON.stringify(free)) > ANONYMOUS_FREE_KIB * KIB) {
    const what = `${FREE_FIELDS.join(", ")}, taken together,`;
    return { ok: false, reason: "anonymous_too_large", what, kib: ANONYMOUS_FREE_KIB };
  }
  // The schema turns an older form into another value, and parsing drops a repeated key.
  const isNormal = sameJson(value, kept) && countMembers(value) === written.members;
  const bytes = utf8Bytes(isNormal ? written.text : JSON.stringify(kept));
  if (bytes.length > MAX_STORED_BYTES) return { ok: false, reason: "result_too_large" };
  const measurer = { hardware, models, cardGbps };
  const digest = benchmark.digest(parsed.data, measurer);
  return {
    ok: true,
    results: { bytes, digest, implausible: benchmark.implausible(kept, measurer) },
  };
}

function invalid(faults: readonly FieldFault[]): Refusal {
  const details = faults
    .slice(0, MAX_DETAILS)
    .map(({ field, message }) => ({ field: `results.${field}`, message }));
  return { ok: false, reason: "result_invalid", details };
}
