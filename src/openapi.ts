import type { OpenAPIHono } from "@hono/zod-openapi";

import { codesOf } from "./http/component-refs.ts";
import { ERROR_RESPONSES, HEADERS, PARAMETERS, sharedResponse } from "./http/components.ts";
import type { RequestEnv } from "./http/context.ts";
import { healthRoute } from "./http/health.ts";
import { errorSchema } from "./http/schemas.ts";
import { RELEASE } from "./lib/release.ts";

const DESCRIPTION = `An open control plane for hardware benchmarks. Create a job, start an agent on each machine with the job's token, read the results.

## Signing in
People sign in at \`POST /token\` and send what they get as \`Authorization: Bearer <token>\`; the refresh token beside it keeps them signed in. Scripts use API tokens that people make for them. Each machine has the token of its job, which works for the node protocol alone; each runner has a key, which works for its claims alone.

## Errors
Every error has the same body: a \`code\` for programs, a \`message\` for people, \`details\` for each field of a request that was refused, and the request's id, which is also in the \`x-request-id\` header of every response. (\`/token\` says what is wrong with a request in the words of RFC 6749.) Unknown parameters and unknown keys of a request are ignored, so that newer clients work.

## Limits
Every operation is limited: \`RateLimit-Policy\` names the limits, and 429 says with \`Retry-After\` when to go on. JSON bodies have at most 256 KiB unless an operation says otherwise. Integers stay below 2^53; lengths count Unicode code points.

## Lists
Lists are paged by \`page\` and \`per_page\`; \`X-Total-Count\` has the number of items, \`Link\` the neighbouring pages. Follow \`next\` to read a long list: its \`cursor\`, where a list has one, makes every page cost the same, and nothing is missed or repeated when others add or remove items meanwhile.

## Repeating requests
Single resources have an \`ETag\`, and \`If-None-Match\` is answered by 304 while nothing has changed. Changes that understand \`If-Match\` happen only to the version that you have read. What creates something takes an \`Idempotency-Key\`: sent again, it gets the first reply again.

## Times
All times are RFC 3339 in UTC, such as \`2024-03-15T10:30:00.000Z\`.`;

const TAGS = [
  { name: "Sign-in", description: "Tokens for people, by the OAuth 2 password grant." },
  {
    name: "Jobs",
    description:
      "Benchmark jobs as their owners see them: create one, watch its nodes, read its results.",
  },
  {
    name: "Reports",
    description:
      "PDFs of what was measured, made when a job ends: opened by a signed link, checked by their content hash.",
  },
  { name: "Benchmarks", description: "What a job can run, and what its figures mean." },
  {
    name: "Scoreboard",
    description: "What GPUs are compared with. Everyone sees it; root administrators pin values.",
  },
  {
    name: "Hardware specs",
    description:
      "Shapes of machines. Administrators keep them; every user sees which there are, and makes jobs for them.",
  },
  {
    name: "Customers",
    description: "Who people and jobs belong to. Root administrators keep them.",
  },
  {
    name: "People",
    description:
      "Who may sign in, and with which role. Administrators keep them, and set passwords right.",
  },
  {
    name: "API tokens",
    description: "Tokens of people for scripts: named, with an end or without, and revocable.",
  },
  {
    name: "Audit trail",
    description: "Who did what to whom: added to with every such act, and never changed.",
  },
  {
    name: "Runners",
    description:
      "Standing machines that offer hardware specs and claim the jobs made for them. Administrators keep them; each one claims with a key of its own.",
  },
  {
    name: "Node protocol",
    description:
      "What the agent on each machine calls, with its job's token: join, ask what to do, say how far it is, send results.",
  },
  { name: "Service", description: "The service itself." },
];

const SECURITY_SCHEMES = {
  OAuth2PasswordBearer: {
    type: "oauth2",
    description:
      "A person's token, from `POST /token`. A JWT, used as RFC8725 asks: algorithm, kind and audience are pinned. It expires after an hour; a new one comes from the same address.",
    flows: { password: { tokenUrl: "/token", refreshUrl: "/token", scopes: {} } },
  },
  JobToken: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description:
      "The token of one job, from its creation or detail; agents use it. A JWT, used as RFC8725 asks: algorithm, kind and audience are pinned. It works until the job expires; that of a job without an account reads for 7 days.",
  },
  RunnerKey: {
    type: "http",
    scheme: "bearer",
    description:
      "The key of one runner, from its creation or a rotation; it works for that runner's claims alone, until it is rotated or the runner is archived.",
  },
} as const;

type Server = { url: string; description: string; "x-internal": boolean };

/** The committed document names a server of its own, so that it can be read anywhere. */
export const RELEASED_SERVERS: readonly Server[] = [
  {
    url: "https://assay.example",
    description: "A production server; yours has another name.",
    "x-internal": false,
  },
];

/** A server's own document means the server it came from. */
const SERVED_SERVERS: readonly Server[] = [
  { url: "/", description: "This server, in production or local.", "x-internal": false },
];

/** The API document (OpenAPI 3.1), built from the contracts of the routes that `app` serves. */
export function apiDocument(app: OpenAPIHono<RequestEnv>, servers: readonly Server[]) {
  const registry = app.openAPIRegistry;
  registry.register("Error", errorSchema);
  registry.registerPath(healthRoute);
  for (const [name, scheme] of Object.entries(SECURITY_SCHEMES)) {
    registry.registerComponent("securitySchemes", name, scheme);
  }
  const {
    components,
    webhooks: _none,
    ...document
  } = app.getOpenAPI31Document({
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
  const paths = inOrderOfTags(withSharedResponses(structuredClone(document.paths ?? {})));
  return withUsed({ ...document, paths, components: { ...generated } }, SHARED);
}

interface PathItem {
  [method: string]: { responses?: Record<string, object> };
}

/** Writes out the responses that stand for several codes: the document has no component for those. */
function withSharedResponses<Item extends object>(paths: Record<string, Item>) {
  const written = (response: object) => {
    const codes = codesOf(response);
    return codes.length > 1 ? sharedResponse(codes) : response;
  };
  for (const item of Object.values(paths)) {
    for (const operation of Object.values(item as PathItem)) {
      const { responses = {} } = operation;
      for (const [status, response] of Object.entries(responses)) {
        responses[status] = written(response);
      }
    }
  }
  return paths;
}

/** Paths in the order of the tags, whatever order the routers are mounted in. */
function inOrderOfTags<Item extends object>(paths: Record<string, Item>): Record<string, Item> {
  const place = (item: Item) => {
    const operations: { tags?: string[] }[] = Object.values(item);
    return TAGS.findIndex(({ name }) => name === operations[0]?.tags?.[0]);
  };
  return Object.fromEntries(
    Object.entries(paths).sort(([, one], [, other]) => place(one) - place(other)),
  );
}

const SHARED = { responses: ERROR_RESPONSES, parameters: PARAMETERS, headers: HEADERS };

/** Adds those shared components that something refers to. */
function withUsed<Document extends { components: object }>(document: Document, shared: object) {
  let result = document;
  // Responses come first: what they refer to is used as well.
  for (const [kind, all] of Object.entries<Record<string, unknown>>({ ...shared })) {
    const text = JSON.stringify(result);
    const used = Object.entries(all).filter(([name]) =>
      text.includes(`"#/components/${kind}/${name}"`),
    );
    result = { ...result, components: { ...result.components, [kind]: Object.fromEntries(used) } };
  }
  return result;
}

/** The document as this server serves it. */
export function servedDocument(app: OpenAPIHono<RequestEnv>): string {
  return JSON.stringify(apiDocument(app, SERVED_SERVERS));
}
