/** How contracts refer to what operations share in the API document (`components.ts`). */
import type { HeaderName, ParameterName } from "./components.ts";
import { ERRORS, type ErrorCode } from "./errors.ts";

/** Headers of every response, whatever its status. */
export const COMMON_HEADERS: readonly HeaderName[] = [
  "x-request-id",
  "RateLimit-Policy",
  "Access-Control-Allow-Origin",
];

export function headerRefs(names: Iterable<HeaderName>): Record<string, { $ref: string }> {
  return Object.fromEntries(
    Array.from(names, (name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}

export function parameterRef(name: ParameterName) {
  return { $ref: `#/components/parameters/${name}` as const };
}

const RESPONSES = "#/components/responses/";

/**
 * The error responses of a route contract, from the registry: exactly the given codes, grouped by
 * status. Several codes of one status are one reference, which the document resolves (`codesOf`).
 */
export function errorResponses(codes: Iterable<ErrorCode>): Record<number, object> {
  const byStatus = Map.groupBy(new Set(codes), (code) => ERRORS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, all]) => [status, { $ref: `${RESPONSES}${all.join("+")}` }]),
  );
}

/** The codes that a reference to a response stands for; none for anything else. */
export function codesOf(response: object): ErrorCode[] {
  const { $ref = "" } = response as { $ref?: string };
  // Nothing but `errorResponses` makes such references.
  return $ref.startsWith(RESPONSES) ? ($ref.slice(RESPONSES.length).split("+") as ErrorCode[]) : [];
}
