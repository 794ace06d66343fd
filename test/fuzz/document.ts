/** Reads the served API document for the fuzz. References are followed; schemas are unchanged. */

/** A JSON Schema. Ajv handles the keywords that are missing here. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  minProperties?: number;
  maxProperties?: number;
  allOf?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  example?: unknown;
  examples?: unknown[];
}

export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required: boolean;
  schema: Schema;
}

export interface Operation {
  id: string;
  method: string;
  /** Path template of the document, with `{names}`. */
  path: string;
  parameters: Parameter[];
  body: { mediaType: string; required: boolean; schema: Schema } | null;
  /** Status → media type → JSON pointer to the schema. */
  responses: Map<number, Map<string, string>>;
  /** Names of the accepted security schemes; empty when no token is needed. */
  security: string[];
}

export interface ApiDocument {
  /** The served document. */
  json: object;
  operations: Operation[];
  /** Follows a chain of `$ref` to its schema; any other schema is returned unchanged. */
  resolve(schema: Schema): Schema;
}

interface RawOperation {
  operationId: string;
  parameters?: unknown[];
  requestBody?: unknown;
  responses: Record<string, unknown>;
  security?: Record<string, unknown>[];
}
interface RawDocument {
  paths: Record<string, Record<string, RawOperation> & { parameters?: unknown[] }>;
  security?: Record<string, unknown>[];
}
type Content = Record<string, { schema?: Schema }>;

export const METHODS = ["get", "head", "post", "put", "patch", "delete", "options"] as const;

export function readDocument(text: string): ApiDocument {
  const document: RawDocument = JSON.parse(text);
  const at = (pointer: string): unknown =>
    pointer
      .split("/")
      .slice(1)
      .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"))
      .reduce<unknown>(
        (node, part) => (isObject(node) ? node[part] : undefined),
        // The document is JSON, an object of unknown values.
        document as unknown,
      );
  /** The object after all references, and its pointer. */
  const follow = <T extends object>(
    node: unknown,
    pointer: string,
  ): { node: T; pointer: string } => {
    if (!isObject(node)) throw new Error(`Nothing at ${pointer} of the document`);
    if (typeof node.$ref === "string") return follow(at(node.$ref), node.$ref);
    return { node: node as T, pointer }; // the caller names the OpenAPI type of this place
  };

  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const raw = item[method];
      if (raw === undefined) return [];
      const here = `#/paths/${escapePointer(path)}/${method}`;
      const parameters = [...(item.parameters ?? []), ...(raw.parameters ?? [])].map(
        (parameter, index) => {
          const { node } = follow<Parameter>(parameter, `${here}/parameters/${index}`);
          return { ...node, required: node.required ?? false, schema: node.schema ?? {} };
        },
      );
      const responses = Object.entries(raw.responses).map(([status, response]) => {
        const { node, pointer } = follow<{ content?: Content }>(
          response,
          `${here}/responses/${status}`,
        );
        const types = Object.keys(node.content ?? {}).map(
          (type) => [type, `${pointer}/content/${escapePointer(type)}/schema`] as const,
        );
        return [Number(status), new Map(types)] as const;
      });
      return {
        id: raw.operationId,
        method: method.toUpperCase(),
        path,
        parameters,
        body: readBody(raw.requestBody, here, follow),
        responses: new Map(responses),
        // `{}` among the alternatives means that no token is needed.
        security: (raw.security ?? document.security ?? []).flatMap((need) => Object.keys(need)),
      };
    }),
  );
  return {
    json: document,
    operations,
    resolve: (schema) =>
      schema.$ref === undefined ? schema : follow<Schema>(schema, schema.$ref).node,
  };
}

function readBody(
  body: unknown,
  here: string,
  follow: <T extends object>(node: unknown, pointer: string) => { node: T },
): Operation["body"] {
  if (body === undefined) return null;
  const { node } = follow<{ required?: boolean; content: Content }>(body, `${here}/requestBody`);
  const [mediaType, content] = Object.entries(node.content)[0] ?? [];
  if (mediaType === undefined) return null;
  return { mediaType, required: node.required ?? false, schema: content?.schema ?? {} };
}

export function escapePointer(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
