import type { z } from "@hono/zod-openapi";
import type { FieldFault } from "../lib/faults.ts";
import { ApiError } from "./errors.ts";

type Issue = z.core.$ZodIssue;

/** Turns zod's issues into sentences for people: the field and the allowed values. */
export function toDetails(issues: readonly Issue[]): FieldFault[] {
  return issues.flatMap((issue) => {
    const field = issue.path.map(String).join(".");
    if (issue.code === "invalid_union") {
      // The branch that got furthest into the value describes the fault best.
      const branches = issue.errors.filter((branch) => branch.length > 0);
      const deepest = branches.sort((a, b) => depth(b) - depth(a))[0];
      if (deepest !== undefined && depth(deepest) > 0) {
        return toDetails(
          deepest.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })),
        );
      }
    }
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        field: field === "" ? key : `${field}.${key}`,
        message: "is not a known key",
      }));
    }
    return [{ field, message: sentence(issue) }];
  });
}

function depth(branch: readonly Issue[]): number {
  return Math.max(0, ...branch.map((issue) => issue.path.length));
}

/** zod's own messages begin like this; other messages were written for their field. */
const ZOD_MESSAGE = /^(Invalid|Too|Unrecognized)/;

function sentence(issue: Issue): string {
  if (!ZOD_MESSAGE.test(issue.message)) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      // Issues carry the kind of the value, not the value, which may be a secret.
      return issue.message.endsWith("received undefined")
        ? "is required"
        : `must be ${article(issue.expected)}`;
    case "too_small":
      return bound(
        issue.origin,
        issue.inclusive === false ? "more than" : "at least",
        issue.minimum,
      );
    case "too_big":
      return bound(
        issue.origin,
        issue.inclusive === false ? "less than" : "at most",
        issue.maximum,
      );
    case "invalid_value":
      return `must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.join(", ")}`;
    default:
      return issue.message;
  }
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  if (origin === "string") return `must have ${relation} ${limit} characters`;
  if (origin === "array") return `must have ${relation} ${limit} entries`;
  return `must be ${relation} ${limit}`;
}

function article(expected: string): string {
  if (expected === "int") return "an integer";
  if (expected === "record") return "an object";
  return /^[aeiou]/.test(expected) ? `an ${expected}` : `a ${expected}`;
}

/** The 400 for values that a schema refused. */
export function validationError(issues: readonly Issue[]): ApiError {
  return validationErrorOf(toDetails(issues));
}

/** The 400 for the given faults. Its message repeats the first; at most 20 are listed. */
export function validationErrorOf(faults: readonly FieldFault[]): ApiError {
  const details = faults.slice(0, 20);
  const first = details[0] ?? { field: "", message: "is not valid" };
  const message =
    first.field === "" ? `The request ${first.message}` : `${first.field} ${first.message}`;
  return new ApiError("PARAMETER_INCORRECT_VALUE", message, { details });
}
