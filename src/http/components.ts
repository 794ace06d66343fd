/**
 * What operations share in the API document, as OpenAPI components: headers, parameters, and one
 * response for each error code. Plain data; contracts refer to it by name (`component-refs.ts`), so that
 * only who asks for the document loads it.
 */
import { COMMON_HEADERS, headerRefs } from "./component-refs.ts";
import { ERRORS, type ErrorCode } from "./errors.ts";

/** Structured fields (RFC 9651): a name in quotes and its parameters, such as `"user";q=600;w=60`. */
const RATE_LIMIT_FIELD =
  '^"[A-Za-z0-9_.:-]+"(; ?[a-z]+=[A-Za-z0-9":_-]+)*(, ?"[A-Za-z0-9_.:-]+"(; ?[a-z]+=[A-Za-z0-9":_-]+)*)*$';
const ENTITY_TAG = '(W/)?"[!#-~]*"';

/** Every header that a response may have. */
export const HEADERS = {
  "x-request-id": {
    description:
      "Names this request in our log. One that you send is kept if it fits the pattern; otherwise a UUID is made.",
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
    description: "The limit that was exceeded: `r` requests remain, and `t` seconds until more do.",
    schema: { type: "string", pattern: RATE_LIMIT_FIELD, maxLength: 256 },
    example: '"user";r=0;t=30',
  },
  "Retry-After": {
    description: "Ask again after this many seconds.",
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
    description: "How to authenticate (RFC 6750).",
    schema: { type: "string", pattern: "^Bearer( .*)?$", maxLength: 256 },
    example: "Bearer",
  },
  "X-Total-Count": {
    description: "How many items there are on all pages together.",
    schema: { type: "integer", format: "int64", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    example: 42,
  },
  Link: {
    description:
      "The pages around this one (RFC 8288): `first`, `prev`, `next` and `last`, as far as they exist.",
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
      "The version of what was answered; send it back as `If-None-Match`, or as `If-Match` where that is understood.",
    schema: { type: "string", pattern: `^${ENTITY_TAG}$`, maxLength: 128 },
    example: '"pV0rJkz3mJw8o1Qq2cXn5A"',
  },
  "Accept-Ranges": {
    description: "A range of bytes may be asked for.",
    schema: { type: "string", enum: ["bytes"], maxLength: 5 },
    example: "bytes",
  },
  "Content-Range": {
    description: "Which bytes these are, and how many there are (RFC 9110).",
    schema: { type: "string", pattern: "^bytes ([0-9]+-[0-9]+|\\*)/[0-9]+$", maxLength: 64 },
    example: "bytes 0-1023/17447",
  },
  "Content-Disposition": {
    description: "How to name the file (RFC 6266).",
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
      "Present when the runner had this task before it asked: its agent was restarted, or another one has the same key.",
    schema: { type: "string", enum: ["true"], maxLength: 4 },
    example: "true",
  },
  "Cache-Control": {
    description: "Neither tokens nor what is said of credentials may be kept by anyone on the way.",
    schema: { type: "string", enum: ["no-store"], maxLength: 8 },
    example: "no-store",
  },
} as const;

export type HeaderName = keyof typeof HEADERS;
export type ParameterName = keyof typeof PARAMETERS;

/** Request headers that whole kinds of operations understand. */
export const PARAMETERS = {
  "Idempotency-Key": {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description:
      "Makes a repeat harmless: for 24 hours the same key with the same body gets the first reply again, with `Idempotency-Replayed: true`; another body is refused. 1 to 255 visible characters, such as a UUID. Keys are yours alone.",
    schema: { type: "string", pattern: "^[!-~]+$", minLength: 1, maxLength: 255 },
    example: "9f1c2b1e-7c55-4a53-8f0e-2d7f8a4d1c90",
  },
  "If-None-Match": {
    name: "If-None-Match",
    in: "header",
    required: false,
    description:
      "Entity tags you hold: 304 without a body if one of them is current. `*` fits any.",
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
      "Entity tags you hold: 412, and nothing happens, unless one of them is current. `*` fits any. Weak ones count: proxies make them.",
    schema: {
      type: "string",
      pattern: `^(\\*|${ENTITY_TAG}(, ?${ENTITY_TAG})*)$`,
      maxLength: 1_024,
    },
    example: '"550e8400e29b41d4a716446655440000.1.0.1.0"',
  },
} as const;

/** Headers that the responses of a status have besides the common ones. */
const HEADERS_OF_STATUS: Partial<Record<number, readonly HeaderName[]>> = {
  401: ["WWW-Authenticate"],
  416: ["Content-Range"],
  429: ["RateLimit", "Retry-After"],
  503: ["Retry-After"],
};

/** What each code says, in the words of the API; the first of several is the most common. */
const ERROR_MESSAGES: Record<ErrorCode, readonly [string, ...string[]]> = {
  PARAMETER_INCORRECT_VALUE: ["node_count must be between 1 and 256"],
  JOB_STATE_INVALID: [
    "The job has ended already and cannot be aborted",
    "The job has nodes at work and cannot be deleted; abort it first",
    "The job has not ended yet; its report is made when it has",
  ],
  CLIENT_TOKEN_INVALID: ["Invalid or expired token"],
  PERMISSION_DENIED: [
    "Only people of the job's customer can abort it",
    "Only people of the job's customer can delete it",
    "Only root administrators can do this",
  ],
  RESOURCE_NOT_FOUND: [
    "Job with id 7554621440 not found",
    "Task with id 7554621441 not found",
    "Spec with id h100-node not found",
  ],
  METHOD_NOT_ALLOWED: ["This path does not answer POST"],
  RESOURCE_ALREADY_EXISTS: [
    "Job with name 'GPU Test' already exists",
    "Spec with slug 'h100-node' already exists",
  ],
  RESOURCE_IN_USE: ["The spec is in use: a job was made for it. Archive it instead"],
  NODE_LIMIT_REACHED: ["All expected nodes have joined already"],
  JOB_ENDED: ["The job has ended"],
  STEP_NOT_READY: ["Step 1 is not running on this node; poll for the current directive"],
  PRECONDITION_FAILED: ["The spec has changed since the version you name; read it again"],
  REQUEST_TOO_LARGE: ["The body must have at most 262144 bytes"],
  UNSUPPORTED_MEDIA_TYPE: ["This route does not read that Content-Type"],
  RANGE_NOT_SATISFIABLE: ["The report has 17447 bytes"],
  IDEMPOTENCY_KEY_REUSED: [
    "This Idempotency-Key was used before with another body",
    "Step 0 of this task has another result already",
  ],
  TOO_MANY_REQUESTS: ["Too many requests; try again in 30 seconds"],
  INTERNAL_ERROR: ["Something went wrong on our side"],
  SERVICE_UNAVAILABLE: ["The service cannot answer right now; try again"],
};

/** What the body of some codes says besides. */
const ERROR_EXTRAS: Partial<Record<ErrorCode, { details?: object[]; directive?: "stop" }>> = {
  PARAMETER_INCORRECT_VALUE: {
    details: [{ field: "node_count", message: "must be between 1 and 256" }],
  },
  JOB_ENDED: { directive: "stop" },
};

function errorExample(code: ErrorCode, message: string) {
  const { details, directive } = ERROR_EXTRAS[code] ?? {};
  return {
    error: { code, message, ...(details === undefined ? {} : { details }) },
    message,
    request_id: HEADERS["x-request-id"].example,
    ...(directive === undefined ? {} : { directive }),
  };
}

const ERROR_SCHEMA_REF = { $ref: "#/components/schemas/Error" };

function errorResponse(code: ErrorCode) {
  const { status, meaning } = ERRORS[code];
  const examples = ERROR_MESSAGES[code].map((message, index) => [
    index === 0 ? code : `${code}-${index + 1}`,
    { summary: message, value: errorExample(code, message) },
  ]);
  return {
    description: `\`${code}\`: ${meaning}`,
    headers: headerRefs([...COMMON_HEADERS, ...(HEADERS_OF_STATUS[status] ?? [])]),
    content: {
      "application/json": {
        schema: ERROR_SCHEMA_REF,
        examples: Object.fromEntries(examples) as Record<string, { value: object }>, // fromEntries says any
      },
    },
  };
}

/** The response of each error code, by code. */
export const ERROR_RESPONSES = Object.fromEntries(
  (Object.keys(ERRORS) as ErrorCode[]).map((code) => [code, errorResponse(code)]), // Object.keys widens to string
) as Record<ErrorCode, ReturnType<typeof errorResponse>>; // fromEntries forgets the keys

/** One response for several codes of one status. */
export function sharedResponse(codes: readonly ErrorCode[]) {
  const all = codes.map((code) => ERROR_RESPONSES[code]);
  return {
    description: all.map(({ description }) => description).join("\n\n"),
    headers: Object.assign({}, ...all.map(({ headers }) => headers)),
    content: {
      "application/json": {
        schema: ERROR_SCHEMA_REF,
        examples: Object.assign(
          {},
          ...all.map(({ content }) => content["application/json"].examples),
        ),
      },
    },
  };
}
