/**
 * Headers and parameters that operations share in the API document, as OpenAPI components. Contracts refer to
 * them by name (`operation.ts`); only the build reads them.
 */

/** Structured fields (RFC 9651): a name in quotes and its parameters, such as `"user";q=600;w=60`. */
const RATE_LIMIT_FIELD =
  '^"[A-Za-z0-9_.:-]+"(; ?[a-z]+=[A-Za-z0-9":_-]+)*(, ?"[A-Za-z0-9_.:-]+"(; ?[a-z]+=[A-Za-z0-9":_-]+)*)*$';
const ENTITY_TAG = '(W/)?"[!#-~]*"';

/** Every header that a response may have. */
export const HEADERS = {
  "x-request-id": {
    description:
      "Identifies the request in the server's log. A value that you send is used if it fits the pattern; otherwise the server creates a UUID.",
    schema: { type: "string", pattern: "^[A-Za-z0-9_.:-]+$", minLength: 1, maxLength: 128 },
    example: "0b3a8f5e-6f5c-4c1e-9a55-0d1f6b7a2c34",
  },
  "RateLimit-Policy": {
    description:
      "The limits that apply to this operation: `q` requests in each window of `w` seconds (IETF RateLimit header fields).",
    schema: { type: "string", pattern: RATE_LIMIT_FIELD, maxLength: 256 },
    example: '"user";q=600;w=60',
  },
  RateLimit: {
    description: "The exceeded limit: `r` requests remain, and the limit resets in `t` seconds.",
    schema: { type: "string", pattern: RATE_LIMIT_FIELD, maxLength: 256 },
    example: '"user";r=0;t=30',
  },
  "Retry-After": {
    description: "Seconds to wait before the next attempt.",
    schema: { type: "integer", format: "int32", minimum: 0, maximum: 86_400 },
    example: 30,
  },
  "Access-Control-Allow-Origin": {
    description:
      "Pages of any origin may call the API; tokens travel in a header, never in a cookie.",
    schema: { type: "string", enum: ["*"], maxLength: 1 },
    example: "*",
  },
  "WWW-Authenticate": {
    description: "The authentication scheme (RFC 6750).",
    schema: { type: "string", pattern: "^Bearer( .*)?$", maxLength: 256 },
    example: "Bearer",
  },
  "X-Total-Count": {
    description: "Number of items on all pages.",
    schema: { type: "integer", format: "int64", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    example: 42,
  },
  Link: {
    description:
      "Links to other pages (RFC 8288): `first`, `prev`, `next` and `last`, as far as they exist.",
    schema: {
      type: "string",
      pattern: '^<[^>]*>; rel="[a-z]+"(, <[^>]*>; rel="[a-z]+")*$',
      maxLength: 32_768,
    },
    example:
      '<https://assay.example/api/silicon-mark/v1/jobs?page=1>; rel="first", <https://assay.example/api/silicon-mark/v1/jobs?page=3>; rel="next"',
  },
  ETag: {
    description:
      "The version of the resource. Send it as `If-None-Match` when you read again, or as `If-Match` when you change the resource.",
    schema: { type: "string", pattern: `^${ENTITY_TAG}$`, maxLength: 128 },
    example: '"pV0rJkz3mJw8o1Qq2cXn5A"',
  },
  "Accept-Ranges": {
    description: "The file can be requested by ranges of bytes.",
    schema: { type: "string", enum: ["bytes"], maxLength: 5 },
    example: "bytes",
  },
  "Content-Range": {
    description: "The range of bytes in the reply, and the length of the file (RFC 9110).",
    schema: { type: "string", pattern: "^bytes ([0-9]+-[0-9]+|\\*)/[0-9]+$", maxLength: 64 },
    example: "bytes 0-1023/17447",
  },
  "Content-Disposition": {
    description: "The suggested file name (RFC 6266).",
    schema: { type: "string", pattern: "^inline; filename=", maxLength: 1_024 },
    example: 'inline; filename="assay-Demo-7554621440.pdf"',
  },
  "Idempotency-Replayed": {
    description: "Present when this is the stored reply to an earlier request with the same key.",
    schema: { type: "string", enum: ["true"], maxLength: 4 },
    example: "true",
  },
  "Claim-Repeated": {
    description:
      "Present if the runner already had this task: its agent was restarted, or another agent uses the same key.",
    schema: { type: "string", enum: ["true"], maxLength: 4 },
    example: "true",
  },
  "Cache-Control": {
    description: "Caches must not store replies with credentials.",
    schema: { type: "string", enum: ["no-store"], maxLength: 8 },
    example: "no-store",
  },
} as const;

export type HeaderName = keyof typeof HEADERS;
export type ParameterName = keyof typeof PARAMETERS;

/** Headers of every response, whatever its status. */
export const COMMON_HEADERS: readonly HeaderName[] = [
  "x-request-id",
  "RateLimit-Policy",
  "Access-Control-Allow-Origin",
];

/** Request headers that several operations understand. */
export const PARAMETERS = {
  "Assay-Task-Token": {
    name: "Assay-Task-Token",
    in: "header",
    required: false,
    description:
      "The node's `task_token`, from joining or claiming. Needed where `task_id` names a node that has one; a missing, replaced or other token is 403.",
    schema: {
      type: "string",
      pattern: "^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$",
      maxLength: 4_096,
    },
    example: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQxIn0.c2lnbmF0dXJl",
  },
  "Idempotency-Key": {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description:
      "Makes repeats safe: for 24 hours, a request with the same key and the same body gets the first reply again, with `Idempotency-Replayed: true`; another body is refused. 1 to 255 visible ASCII characters, such as a UUID. Each caller has separate keys.",
    schema: { type: "string", pattern: "^[!-~]+$", minLength: 1, maxLength: 255 },
    example: "9f1c2b1e-7c55-4a53-8f0e-2d7f8a4d1c90",
  },
  "Last-Event-ID": {
    name: "Last-Event-ID",
    in: "header",
    required: false,
    description: "The id of the last event that you have: the stream goes on after it.",
    schema: { type: "string", pattern: "^[0-9]+$", minLength: 1, maxLength: 9 },
    example: "4",
  },
  "If-None-Match": {
    name: "If-None-Match",
    in: "header",
    required: false,
    description:
      "Entity tags of versions that you have: the reply is 304 without a body if one of them is current. `*` matches every version.",
    schema: {
      type: "string",
      pattern: `^(\\*|${ENTITY_TAG}(, ?${ENTITY_TAG})*)$`,
      maxLength: 1_024,
    },
    example: '"pV0rJkz3mJw8o1Qq2cXn5A"',
  },
  "If-Match": {
    name: "If-Match",
    in: "header",
    required: false,
    description:
      "Entity tags of versions that you have: unless one of them is current, the reply is 412 and nothing changes. `*` matches every version. Weak tags count, since proxies create them.",
    schema: {
      type: "string",
      pattern: `^(\\*|${ENTITY_TAG}(, ?${ENTITY_TAG})*)$`,
      maxLength: 1_024,
    },
    example: '"550e8400e29b41d4a716446655440000.1.0.1.0"',
  },
} as const;
