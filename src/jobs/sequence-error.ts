import { CATALOGUE } from "../benchmarks/catalogue.ts";
import type { SequenceFault } from "../benchmarks/sequence.ts";
import { ApiError, invalidField } from "../http/errors.ts";
import { validationError } from "../http/validation.ts";

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
        `benchmarks.${fault.index} repeats '${fault.benchmarkId}' with the same config`,
      );
    case "too_few_nodes":
      return invalidField(
        "node_count",
        `node_count must be at least ${fault.minNodes} for '${fault.benchmarkId}'`,
      );
  }
}
