/** Error replies to the creation of a job. They load with the first refusal. */
import { CATALOGUE } from "../benchmarks/catalogue.ts";
import type { SequenceFault } from "../benchmarks/sequence.ts";
import { ApiError, invalidField } from "../http/errors.ts";
import { validationError, validationErrorOf } from "../http/validation.ts";
import { DAY_MS, SECOND_MS, toTimestamp } from "../lib/clock.ts";
import type { Quotas } from "../lib/config.ts";
import { type Creation, dayOf, type ExceededQuota } from "./quotas.ts";

/** The 400 for benchmarks that make no sequence. */
export function sequenceError(fault: SequenceFault): ApiError {
  switch (fault.kind) {
    case "unknown": {
      // The page prints this message.
      const message = `Benchmark '${fault.benchmarkId}' not found`;
      const known = CATALOGUE.map(({ id }) => id).join(", ");
      return new ApiError("PARAMETER_INCORRECT_VALUE", message, {
        details: [{ field: "benchmarks", message: `${message}; it must be one of ${known}` }],
      });
    }
    case "config":
      return validationError(
        fault.issues.map((issue) => ({
          ...issue,
          path: ["benchmarks", fault.index, "config", ...issue.path],
        })),
      );
    case "duplicate":
      return invalidField(
        `benchmarks.${fault.index}`,
        `repeats '${fault.benchmarkId}' with the same config`,
      );
    case "too_few_nodes":
      return invalidField(
        "node_count",
        `must be at least ${fault.minNodes} for '${fault.benchmarkId}'`,
      );
  }
}

/** The 400 for a job whose runners offer another spec than its machines are compared with. */
export const twoSpecs = (): ApiError =>
  validationErrorOf([
    {
      field: "expected_spec",
      message: "must be omitted, or the same spec as spec",
    },
  ]);

/** `Retry-After` of jobs without an account. */
const RETRY_ANONYMOUS_SECONDS = 600;

/** The error reply for a quota. */
export function quotaError(exceeded: ExceededQuota, job: Creation, quotas: Quotas): ApiError {
  switch (exceeded) {
    case "closed":
    case "anonymous": {
      const message =
        "Jobs without an account cannot be created now: too many are waiting, or too much is stored; sign in, or try again later";
      const headers = { "Retry-After": String(RETRY_ANONYMOUS_SECONDS) };
      return new ApiError("SERVICE_UNAVAILABLE", message, { headers });
    }
    case "jobs_per_day": {
      const until = (dayOf(job.createdAt) + 1) * DAY_MS;
      const wait = Math.ceil((until - job.createdAt) / SECOND_MS);
      const message = `Your customer has created ${quotas.customerJobsPerDay} jobs today, which is its quota; it can create more from ${toTimestamp(until)}`;
      return new ApiError("QUOTA_EXCEEDED", message, { headers: { "Retry-After": String(wait) } });
    }
    case "stored_bytes": {
      const gib = (quotas.customerBytes ?? 0) / 1_024 ** 3;
      const message = `The results of your customer's jobs fill its quota of ${gib} GiB, until some are deleted; space is free within a day of a deletion`;
      return new ApiError("QUOTA_EXCEEDED", message);
    }
  }
}
