import type { Benchmark, JsonObject, ResultContext } from "../benchmarks/benchmark.ts";
import type { ErrorDetail } from "../http/errors.ts";
import { toDetails } from "../http/validation.ts";
import { utf8Length } from "../lib/json.ts";

const MAX_DETAILS = 20;
/**
 * One result as it is stored. The route bounds what is sent to 1 MiB, but `1e20` is written out as 21
 * digits; the platform refuses rows above 2 MB, which this stays below with its digest.
 */
const MAX_STORED_BYTES = 1.5 * 1_024 * 1_024;

/** What a node measured in one step, ready to be stored. */
export interface ReadResults {
  /** JSON in the form of the benchmark's schema. */
  text: string;
  bytes: number;
  /** What the benchmark's summary needs of it. */
  digest: JsonObject;
}

/**
 * Validates and normalises by the benchmark's schema, then by the rules that need to know the sender.
 *
 * @param text the results as they were sent, JSON; null when a failed step has none
 */
export function readResults(
  benchmark: Benchmark,
  text: string | null,
  context: ResultContext,
):
  | { ok: true; read: ReadResults | null }
  | { ok: false; reason: "result_invalid"; details: ErrorDetail[] }
  | { ok: false; reason: "result_too_large" } {
  if (text === null) return { ok: true, read: null };
  const refuse = (details: ErrorDetail[]) => ({
    ok: false as const,
    reason: "result_invalid" as const,
    details: details.map(({ field, message }) => ({ field: `results.${field}`, message })),
  });
  const parsed = benchmark.result.safeParse(JSON.parse(text));
  if (!parsed.success) return refuse(toDetails(parsed.error.issues).slice(0, MAX_DETAILS));
  const fault = benchmark.checkResult(parsed.data, context);
  if (fault !== null) return refuse([fault]);
  const normalised = JSON.stringify(parsed.data);
  const bytes = utf8Length(normalised);
  if (bytes > MAX_STORED_BYTES) return { ok: false, reason: "result_too_large" };
  return {
    ok: true,
    read: {
      text: normalised,
      bytes,
      digest: benchmark.digest(parsed.data),
    },
  };
}
