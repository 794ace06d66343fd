/**
 * The API document as the console needs it: it fills in whatever has a value, and sends what it has filled in.
 *
 * Defaults of parameters move into their descriptions, since the server knows them. Fields for people, passwords and tokens
 * open empty. People sign in above: the console's own form for the password grant would ask for an OAuth client, which
 * there is none of, so it gets a field for a token.
 */
export async function readDocument(): Promise<string> {
  const response = await fetch("/openapi.json");
  return JSON.stringify(JSON.parse(await response.text(), forConsole));
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
