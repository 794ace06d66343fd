/** Builds the API document. The build alone uses it; the Worker serves the result as a static file. */
import { OpenAPIHono, type RouteConfig } from "@hono/zod-openapi";
import { RELEASE } from "../lib/release.ts";
import { HEADERS, PARAMETERS } from "./components.ts";
import { describeOperation } from "./describe.ts";
import { ERROR_RESPONSES } from "./error-responses.ts";
import type { AnyOperation } from "./operation.ts";
import { errorSchema } from "./schemas.ts";
import { forGenerators } from "./shapes.ts";

const DESCRIPTION = `An open control plane for hardware benchmarks. Create a job, start an agent on each machine with the job's token, and read the results.

## Signing in
People sign in at \`POST /token\` and send the access token as \`Authorization: Bearer <token>\`; the refresh token keeps them signed in. Scripts use API tokens or keys, which people create for them. Agents use the token of their job, which is valid only for the node protocol. Runners use a key, which is valid only for claiming jobs.

## Errors
All errors have the same body: a \`code\` for programs, a \`message\` for people, \`details\` of each refused field, and the id of the request, which is also in the \`x-request-id\` header of every response. (Only \`/token\` answers errors in the form of RFC 6749.) Unknown parameters and keys are ignored, so that newer clients work; misspelt parameters of lists and of changes, and misspelt keys of bodies are refused, except those of agents.

## Paging
Lists are paged by \`page\` and \`per_page\`. \`X-Total-Count\` has the number of items, \`Link\` the links to other pages. Follow \`next\` to read a long list: its \`cursor\`, where a list has cursors, makes all pages cost the same, and never skips or repeats an item that was not changed meanwhile.

## Limits
All operations are rate-limited: \`RateLimit-Policy\` has the limits, and \`Retry-After\` of a 429 has the seconds to wait. JSON bodies are limited to 256 KiB unless an operation states another limit. Integers are below 2^53; lengths count Unicode code points.

## Idempotency
Single resources have an \`ETag\`; with \`If-None-Match\` the reply is 304 until the resource changes. With \`If-Match\`, an operation changes only the version that you have read. Operations that create a resource accept an \`Idempotency-Key\`: a repeat with the same key gets the first reply again. A request's \`Assay-Nonce\` (22 base64url characters) comes back on its reply, whatever that is.

## Times
All times are RFC 3339 in UTC, such as \`2024-03-15T10:30:00.000Z\`.`;

const TAGS = [
  { name: "Sign-in", description: "Tokens for people, by the OAuth 2 password grant." },
  {
    name: "Jobs",
    description: "Benchmark jobs: create a job, watch its nodes, read its results.",
  },
  {
    name: "Machines",
    description: "The machines that jobs ran on, with their hardware and their figures over time.",
  },
  {
    name: "Reports",
    description:
      "PDF reports of results, made when a job ends. Signed links open them; content hashes verify them.",
  },
  {
    name: "Benchmarks",
    description: "The benchmarks that a job can run, and the meaning of their metrics.",
  },
  {
    name: "Scoreboard",
    description:
      "Baselines that GPUs are compared with. Everyone can read them; root administrators can pin values.",
  },
  {
    name: "Hardware specs",
    description:
      "Descriptions of machines. Administrators manage them; every user can read them and create jobs for them.",
  },
  {
    name: "Customers",
    description: "Owners of people and jobs. Root administrators manage them.",
  },
  {
    name: "People",
    description: "Accounts and their roles. Administrators manage them and reset passwords.",
  },
  {
    name: "API tokens",
    description: "People's tokens for scripts. Tokens have names, may expire, and can be revoked.",
  },
  {
    name: "API keys",
    description:
      "People's keys for scripts: like API tokens, in the form that published command-line clients expect.",
  },
  {
    name: "Audit log",
    description: "An append-only record of administrative actions, sign-ins and refusals.",
  },
  {
    name: "Runners",
    description:
      "Standing machines that offer hardware specs and claim the jobs created for them. Administrators manage them; each runner has its own key.",
  },
  {
    name: "Node protocol",
    description:
      "Operations for the agent on each machine: join a job, poll for directives, report progress, send results. The agent uses the token of its job.",
  },
  { name: "Service", description: "The service itself." },
];

const SECURITY_SCHEMES = {
  OAuth2PasswordBearer: {
    type: "oauth2",
    description:
      "A person's access token, from `POST /token`. A JWT that follows RFC8725: algorithm, type and audience are pinned. It expires after an hour and can be refreshed at the same address.",
    flows: { password: { tokenUrl: "/token", refreshUrl: "/token", scopes: {} } },
  },
  JobToken: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description:
      "The token of one job, from its creation or detail; agents use it. A JWT that follows RFC8725: algorithm, type and audience are pinned. It is valid until the job expires; the token of a job without an account can read the job for 7 days. Calls about one node also need `Assay-Task-Token`.",
  },
  RunnerBearer: {
    type: "http",
    scheme: "bearer",
    description:
      "The key of one runner, from its creation or a rotation. It is valid only for claiming jobs, until the key is rotated or the runner is archived.",
  },
} as const;

type Server = { url: string; description: string; "x-internal": boolean };

/** The committed document names an example server, so that it can be read anywhere. */
export const RELEASED_SERVERS: readonly Server[] = [
  {
    url: "https://assay.example",
    description: "An example of a production server.",
    "x-internal": false,
  },
];

/** The served document refers to the server that it came from. */
export const SERVED_SERVERS: readonly Server[] = [
  { url: "/", description: "This server.", "x-internal": false },
];

/** The API document (OpenAPI 3.1) of routes, built from their contracts. */
export function apiDocument(
  routes: readonly { route: AnyOperation | RouteConfig }[],
  servers: readonly Server[],
) {
  const described = new OpenAPIHono();
  const registry = described.openAPIRegistry;
  for (const { route } of routes) {
    registry.registerPath("serving" in route ? describeOperation(route) : route);
  }
  registry.register("Error", errorSchema);
  for (const [name, scheme] of Object.entries(SECURITY_SCHEMES)) {
    registry.registerComponent("securitySchemes", name, scheme);
  }
  const {
    components,
    webhooks: _none,
    ...document
  } = described.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Assay",
      version: RELEASE,
      description: DESCRIPTION,
      contact: { name: "The people who run this server" },
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    servers: [...servers],
    tags: TAGS,
  });
  const { parameters: _inline, ...generated } = components ?? {};
  const paths = inOrder(document.paths ?? {});
  const whole = { ...document, paths, components: { ...generated } };
  return withoutSamples(withUsed(forGenerators(whole), SHARED));
}

interface Parameter {
  in: string;
  required?: boolean;
  description?: string;
  example?: unknown;
  schema?: { example?: unknown };
}

/**
 * Moves examples of parameters into their descriptions: consoles would fill them in and send them, and a sample of
 * `If-Match` or of a filter makes a first attempt fail or find nothing. What a query must have keeps its example.
 */
function withoutSamples<Document extends object>(document: Document): Document {
  return JSON.parse(JSON.stringify(document), (_key, value: Parameter | null) => {
    if (typeof value?.in !== "string" || value.schema === undefined) return value;
    const { example = value.schema.example, ...parameter } = value;
    const { example: _sample, ...schema } = value.schema;
    if (example === undefined) return value;
    if (value.in === "query" && value.required) return { ...parameter, example, schema };
    const description = `${parameter.description ?? ""} For example \`${example}\`.`.trim();
    return { ...parameter, description, schema };
  });
}

const METHODS = ["post", "get", "put", "patch", "delete"];

/**
 * Paths in the order of the tags, whatever order the routers are mounted in. Within a tag: to create and list its resources, to
 * read, change and delete one, then the rest, path by path as declared, those that begin alike together.
 */
function inOrder<Item extends object>(paths: Record<string, Item>): Record<string, Item> {
  const all = Object.entries(paths);
  const tagOf = (item: Item): string | undefined => {
    const operations: { tags?: string[] }[] = Object.values(item);
    return operations[0]?.tags?.[0];
  };
  const ordered = TAGS.flatMap(({ name }) => {
    const own = all.filter(([, item]) => tagOf(item) === name);
    const collection = collectionOf(own);
    const groups = Map.groupBy(own, ([path]) => withoutParameters(path));
    const first = groups.get(collection) ?? [];
    groups.delete(collection);
    return [...first, ...[...groups.values()].flat()];
  });
  // Without a known tag: a test refuses such a document.
  const strangers = all.filter((entry) => !ordered.includes(entry));
  return Object.fromEntries(
    [...ordered, ...strangers].map(([path, item]) => [path, withOrderedMethods(item)]),
  );
}

/** The path that lists a tag's resources, each of which has a path below it; the shortest of several, "" for none. */
function collectionOf(own: readonly [path: string, item: object][]): string {
  const lists = own.filter(([path, item]) => "get" in item && !path.endsWith("}"));
  const [shortest = ""] = lists
    .map(([path]) => path)
    .filter((path) => own.some(([other]) => other !== path && withoutParameters(other) === path))
    .sort((one, other) => one.length - other.length);
  return shortest;
}

const withoutParameters = (path: string) => path.replace(/(?:\/\{\w+\})+$/, "");

function withOrderedMethods<Item extends object>(item: Item): Item {
  const sorted = Object.entries(item).sort(
    ([one], [other]) => METHODS.indexOf(one) - METHODS.indexOf(other),
  );
  // The same entries in another order.
  return Object.fromEntries(sorted) as Item;
}

const SHARED = { responses: ERROR_RESPONSES, parameters: PARAMETERS, headers: HEADERS };

/** Adds the shared components that the document refers to. */
function withUsed<Document extends { components: object }>(document: Document, shared: object) {
  let result = document;
  // Responses come first, since they refer to headers.
  for (const [kind, all] of Object.entries<Record<string, unknown>>({ ...shared })) {
    const text = JSON.stringify(result);
    const used = Object.entries(all).filter(([name]) =>
      text.includes(`"#/components/${kind}/${name}"`),
    );
    result = { ...result, components: { ...result.components, [kind]: Object.fromEntries(used) } };
  }
  return result;
}
