/** Guides as Markdown, which the build puts here. */
declare const GUIDES: string;

/** Where a section of the document's description is told in full. */
const MORE: Readonly<Record<string, string>> = {
  "Signing in": "/docs/api#people-and-tokens",
  Errors: "/docs/contract#http-rules",
  Paging: "/docs/lists",
  Limits: "/docs/operations#quotas",
  Idempotency: "/docs/contract#http-rules",
};

/**
 * The API document as the console needs it: guides first, and nothing filled in that would be sent by itself.
 *
 * Defaults of parameters move into their descriptions, since the server knows them. Fields for people, passwords and tokens
 * open empty. People sign in above: the console's own form for the password grant would ask for an OAuth client, which
 * there is none of, so it gets a field for a token.
 */
export async function readDocument(): Promise<string> {
  const response = await fetch("/openapi.json");
  const { info, ...document } = JSON.parse(await response.text(), forConsole);
  const description = withGuides(info.description);
  return JSON.stringify({ ...document, info: { ...info, description } });
}

/**
 * The guides stand in the place of what the document says before its first section. Each guide and section begins with a
 * heading of level 1, so that the navigation has an entry for it.
 */
function withGuides(text: string): string {
  const [, ...sections] = text.split(/^## /m);
  const linked = sections.map((section) => {
    const more = MORE[section.slice(0, section.indexOf("\n"))];
    return `# ${section.trimEnd()}${more === undefined ? "" : ` [More](${more})`}`;
  });
  return [GUIDES, ...linked].join("\n\n");
}

/** Fields whose samples nobody should send. */
const PERSONAL = ["email", "username", "password", "old_password", "token", "refresh_token"];

function forConsole(key: string, value: unknown): unknown {
  if (!isObject(value)) return value;
  if (value.type === "oauth2") {
    return { type: "http", scheme: "bearer", description: value.description };
  }
  if (key === "requestBody") return JSON.parse(JSON.stringify(value), withoutSample);
  const { schema } = value;
  if (typeof value.in !== "string" || !isObject(schema) || !("default" in schema)) return value;
  const { default: standard, ...withoutDefault } = schema;
  const description = `${value.description ?? ""} Default: \`${standard}\`.`.trim();
  return { ...value, description, schema: withoutDefault };
}

function withoutSample(key: string, value: unknown): unknown {
  return PERSONAL.includes(key) && typeof value === "string" ? "" : value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
