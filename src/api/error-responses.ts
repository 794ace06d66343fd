/** Documentation of the error responses, one for each code. The build alone uses it. */
import { COMMON_HEADERS, HEADERS, type HeaderName } from "./components.ts";
import { ERRORS, type ErrorCode } from "./errors.ts";
import { headerRefs } from "./operation.ts";

/** Headers of a status's responses besides the common ones. */
const HEADERS_OF_STATUS: Partial<Record<number, readonly HeaderName[]>> = {
  401: ["WWW-Authenticate"],
  416: ["Content-Range"],
  429: ["RateLimit", "Retry-After"],
  503: ["Retry-After"],
};

/** Meaning of each code. */
const MEANINGS: Record<ErrorCode, string> = {
  PARAMETER_INCORRECT_VALUE: "A value in the path, query or body is invalid.",
  JOB_STATE_INVALID: "The job's state does not allow this operation.",
  CLIENT_TOKEN_INVALID: "The token is missing, malformed, expired, revoked or of the wrong kind.",
  PERMISSION_DENIED: "The caller is authenticated, but not allowed to do this.",
  RESOURCE_NOT_FOUND: "The resource is unknown, deleted, or not visible to the caller.",
  METHOD_NOT_ALLOWED: "The path exists, but not with this method.",
  RESOURCE_ALREADY_EXISTS: "The name, slug or e-mail address is taken.",
  RESOURCE_IN_USE: "A runner or a job refers to the spec.",
  NODE_LIMIT_REACHED: "All expected nodes have already joined.",
  MACHINE_IN_USE:
    "Another agent is the machine's node, and in contact; `Retry-After` has the rest of its lease in seconds.",
  JOB_ENDED: "The job has ended or is deleted; the node stops.",
  STEP_NOT_READY: "The result is for a step that this node was not told to run.",
  PRECONDITION_FAILED: "The resource is not in a version that `If-Match` lists.",
  REQUEST_TOO_LARGE: "The body exceeds the limit of the operation.",
  UNSUPPORTED_MEDIA_TYPE: "The operation does not accept this `Content-Type`.",
  RANGE_NOT_SATISFIABLE: "The file has no byte in the requested `Range`.",
  IDEMPOTENCY_KEY_REUSED: "The key or result slot was already used with different content.",
  UPGRADE_REQUIRED: "The path is a WebSocket: the request lacks `Upgrade: websocket`.",
  TOO_MANY_REQUESTS: "Too many requests; `Retry-After` has the seconds to wait.",
  QUOTA_EXCEEDED:
    "A quota of the customer is used up, as the message says; `Retry-After` is set if time frees it.",
  INTERNAL_ERROR: "A fault of the server. Its log has the cause under the request id.",
  SERVICE_UNAVAILABLE: "A temporary failure; `Retry-After` has the seconds to wait.",
};

/** Messages of each code, as the API writes them; the most common one comes first. */
const ERROR_MESSAGES: Record<ErrorCode, readonly [string, ...string[]]> = {
  PARAMETER_INCORRECT_VALUE: ["node_count must be between 1 and 256"],
  JOB_STATE_INVALID: [
    "The job has already ended and cannot be aborted",
    "The job is in progress and cannot be deleted; abort it first",
    "The job has not ended yet; its report is made when it ends",
  ],
  CLIENT_TOKEN_INVALID: ["Invalid or expired token"],
  PERMISSION_DENIED: [
    "Only people of the job's customer can abort it",
    "Only people of the job's customer can delete it",
    "Only root administrators can do this",
    "The header Assay-Task-Token is missing: send the task_token from the reply to joining",
    "Only runners of its spec can join this job, by claiming it; use a token only for jobs without a spec",
  ],
  RESOURCE_NOT_FOUND: [
    "Job with id 7554621440 not found",
    "Task with id 7554621441 not found",
    "Spec with id h100-node not found",
  ],
  METHOD_NOT_ALLOWED: ["/health does not answer POST"],
  RESOURCE_ALREADY_EXISTS: [
    "Job with name 'GPU Test' already exists",
    "Spec with slug 'h100-node' already exists",
  ],
  RESOURCE_IN_USE: ["The spec is in use: a job was created for it. Archive it instead"],
  NODE_LIMIT_REACHED: ["All expected nodes have already joined"],
  MACHINE_IN_USE: [
    "Another agent with this machine_uuid is in contact; join with its join_secret, or with another machine_uuid",
  ],
  JOB_ENDED: ["The job has ended"],
  STEP_NOT_READY: ["Step 1 is not running on this node; poll for the current directive"],
  PRECONDITION_FAILED: ["The spec has changed since the version you sent; read it again"],
  REQUEST_TOO_LARGE: ["The body must have at most 262144 bytes"],
  UNSUPPORTED_MEDIA_TYPE: ["The body must be JSON: send Content-Type: application/json"],
  RANGE_NOT_SATISFIABLE: ["The report has 17447 bytes"],
  IDEMPOTENCY_KEY_REUSED: [
    "This Idempotency-Key was used before for another request; use a new one",
    "Step 0 of this task already has another result",
  ],
  UPGRADE_REQUIRED: ["This path is a WebSocket: send Upgrade: websocket"],
  TOO_MANY_REQUESTS: ["Too many requests; try again in 10 s"],
  QUOTA_EXCEEDED: [
    "Your customer has created 50000 jobs today, which is its quota; it can create more from 2024-03-16T00:00:00.000Z",
    "The results of your customer's jobs fill its quota of 100 GiB, until some are deleted; space is free within a day of a deletion",
  ],
  INTERNAL_ERROR: ["Something went wrong on our side"],
  SERVICE_UNAVAILABLE: ["The service cannot answer right now; try again"],
};

/** Additional members in the body of some codes. */
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
  const { status } = ERRORS[code];
  const examples = ERROR_MESSAGES[code].map((message, index) => [
    index === 0 ? code : `${code}-${index + 1}`,
    { summary: message, value: errorExample(code, message) },
  ]);
  return {
    description: `\`${code}\`: ${MEANINGS[code]}`,
    headers: headerRefs([
      ...COMMON_HEADERS,
      ...(HEADERS_OF_STATUS[status] ?? []),
      ...(code === "MACHINE_IN_USE" ? (["Retry-After"] as const) : []),
    ]),
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
