/** Reads the API document, and says which of the promises that every operation makes are broken. */
import text from "../../../openapi.json?raw";

interface MediaType {
  schema: object;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

interface Response {
  description: string;
  headers?: Record<string, object>;
  content?: Record<string, MediaType>;
}

interface Operation {
  operationId: string;
  tags?: string[];
  summary?: string;
  description?: string;
  security?: Record<string, string[]>[];
  parameters?: object[];
  requestBody?: { content: Record<string, MediaType> };
  responses: Record<string, object>;
}

export interface ApiDocument {
  openapi: string;
  servers: { url: string }[];
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { headers?: Record<string, object>; parameters?: Record<string, object> };
}

/** The released document, which `npm run check` compares with the contracts. */
export const RELEASED: ApiDocument = JSON.parse(text);

/** The target of a `$ref`, or the value itself. */
export function resolve<Value extends object>(document: ApiDocument, value: object): Value {
  if (!("$ref" in value)) return value as Value; // the caller knows what it reads
  const found = String(value.$ref)
    .split("/")
    .slice(1)
    .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document); // a pointer into objects
  if (found === undefined) throw new Error(`Nothing at ${value.$ref}`);
  return found as Value; // as above
}

export function operationsOf(document: ApiDocument) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method} ${path} ${operation.operationId}`,
      operation,
    })),
  );
}

/** Every response of every operation, and every request body as if it were one, with their examples. */
export function responsesOf(document: ApiDocument) {
  return operationsOf(document).flatMap(({ operation }) => {
    const { operationId: id, requestBody, responses } = operation;
    const all = Object.entries(responses).map(
      ([status, each]) => [status, resolve<Response>(document, each)] as const,
    );
    const request = { description: "", headers: {}, ...requestBody };
    const bodies = requestBody === undefined ? [] : [["request", request] as const];
    return [...bodies, ...all].map(([status, { content, ...rest }]) => ({
      id,
      status,
      response: { ...rest, content: content && withExamples(content) },
    }));
  });
}

function withExamples(content: Record<string, MediaType>) {
  return Object.fromEntries(
    Object.entries(content).map(([type, { schema, example, examples }]) => {
      const named = Object.values(examples ?? {}).map(({ value }) => value);
      return [type, { schema, examples: example === undefined ? named : [example, ...named] }];
    }),
  );
}

const ALWAYS = ["x-request-id", "RateLimit-Policy", "Access-Control-Allow-Origin"];
const OF_STATUS: Record<string, readonly string[]> = {
  401: ["WWW-Authenticate"],
  429: ["RateLimit", "Retry-After"],
  503: ["Retry-After"],
};

/** Omissions, in words; none for a document whose operations were made by `operation`. */
export function faultsOf(document: ApiDocument): string[] {
  return operationsOf(document).flatMap(({ operation }) => {
    const { operationId: id, security, responses } = operation;
    const faults: string[] = [];
    const need = (holds: boolean, fault: string) => {
      if (!holds) faults.push(`${id} ${fault}`);
    };
    const known = document.tags.map(({ name }) => name);
    need(
      (operation.tags ?? []).some((tag) => known.includes(tag)),
      "has no tag of the document",
    );
    need((operation.summary ?? "") !== "", "has no summary");
    need((operation.description ?? "") !== "", "has no description");
    need(security !== undefined && security.length > 0, "does not say who may call it");
    const guarded = Object.keys(security?.[0] ?? {}).length > 0;
    for (const status of ["400", ...(guarded ? ["401"] : []), "429", "500", "503"]) {
      need(status in responses, `does not declare ${status}`);
    }
    // Credentials can be refused where there is no token yet.
    const checksIdentity = guarded || (operation.tags ?? []).includes("Sign-in");
    need(checksIdentity || !("401" in responses), "declares 401, but asks for no token");
    for (const { status, response } of responsesOf(document).filter((one) => one.id === id)) {
      if (status !== "request") {
        for (const header of [...ALWAYS, ...(OF_STATUS[status] ?? [])]) {
          need(header in (response.headers ?? {}), `${status} lacks the header ${header}`);
        }
      }
      for (const { examples } of Object.values(response.content ?? {})) {
        need(examples.length > 0, `${status} has no example`);
      }
    }
    return faults;
  });
}
