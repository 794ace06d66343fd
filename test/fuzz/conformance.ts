/** Checks every response against the API document alone. */
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { type ApiDocument, isObject, type Operation, type Schema } from "./document.ts";
import type { Reply } from "./wire.ts";

const DOCUMENT_ID = "https://assay.example/openapi.json";

export interface Conformance {
  /** The fault in a reply to this operation, or null. */
  faultOf(operation: Operation, reply: Reply): string | null;
  /** The fault in a reply to a path or method outside the document, or null. */
  faultOfUnrouted(reply: Reply): string | null;
  /** The fault in a reply of an unknown operation, or null. */
  faultOfAny(reply: Reply): string | null;
  /** True if the document allows this value. */
  accepts(schema: Schema, value: unknown): boolean;
}

export function createConformance(document: ApiDocument): Conformance {
  const ajv = createAjv(document.json);
  // The document leaves replies open for clients; here a field that it does not declare is a fault.
  const replies = createAjv(closed(document.json));

  const validatorAt = (pointer: string) => {
    const reference = DOCUMENT_ID + encodeURI(pointer);
    const validator = replies.getSchema(reference) ?? replies.compile({ $ref: reference });
    return (value: unknown) => (validator(value) ? null : replies.errorsText(validator.errors));
  };
  const requestValidators = new WeakMap<Schema, (value: unknown) => boolean>();

  return {
    faultOf(operation, reply) {
      const common = commonFault(reply);
      if (common !== null) return common;
      const declared = operation.responses.get(reply.status);
      if (declared === undefined) return `status ${reply.status} is not declared`;
      if (declared.size === 0 || reply.method === "HEAD") {
        return reply.body.length === 0 ? null : "a body where none is declared";
      }
      const type = mediaTypeOf(reply);
      const pointer = declared.get(type);
      if (pointer === undefined) return `media type ${type} is not declared`;
      return isJson(type) ? bodyFault(reply, validatorAt(pointer)) : null;
    },
    faultOfUnrouted(reply) {
      const common = commonFault(reply);
      if (common !== null || reply.method === "HEAD" || reply.body.length === 0) return common;
      return bodyFault(reply, validatorAt("#/components/schemas/Error"));
    },
    faultOfAny: commonFault,
    accepts(schema, value) {
      let validator = requestValidators.get(schema);
      if (validator === undefined) {
        const compiled = ajv.compile(absolute(schema));
        validator = (candidate) => compiled(candidate) === true;
        requestValidators.set(schema, validator);
      }
      return validator(value);
    },
  };
}

function createAjv(document: object): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false });
  addFormats.default(ajv);
  // OpenAPI adds these formats, which do not restrict the value.
  for (const format of ["password", "double", "float"]) ajv.addFormat(format, true);
  return ajv.addSchema({ ...document, $id: DOCUMENT_ID });
}

/** The document with closed schemas: those of objects whose properties are declared and that name no others. */
export function closed<Document extends object>(document: Document): Document {
  return JSON.parse(JSON.stringify(document), (key, value: unknown) => {
    if (!isObject(value) || key === "example" || key === "properties") return value;
    const isClosed = isObject(value.properties) && value.additionalProperties === undefined;
    return isClosed ? { ...value, additionalProperties: false } : value;
  });
}

function commonFault(reply: Reply): string | null {
  if (reply.status >= 500) return `status ${reply.status}`;
  const id = reply.headers["x-request-id"];
  return typeof id === "string" && /^[\w.:-]{1,128}$/.test(id) ? null : "no valid x-request-id";
}

function bodyFault(reply: Reply, faultOf: (value: unknown) => string | null): string | null {
  let value: unknown;
  try {
    // Decoding is fatal, because JSON must be UTF-8.
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(reply.body));
  } catch (error) {
    return `the body is not JSON: ${String(error)}`;
  }
  const fault = faultOf(value);
  return fault === null ? null : `the body of status ${reply.status} is not as declared: ${fault}`;
}

function mediaTypeOf(reply: Reply): string {
  return (
    String(reply.headers["content-type"] ?? "none")
      .split(";")[0]
      ?.trim()
      .toLowerCase() ?? ""
  );
}

function isJson(mediaType: string): boolean {
  return /[/+]json$/.test(mediaType);
}

/** The schema with absolute references into the document, so that it can be compiled alone. */
function absolute(schema: Schema): Schema {
  return JSON.parse(JSON.stringify(schema), (key, value: unknown) =>
    key === "$ref" && typeof value === "string" ? DOCUMENT_ID + value : value,
  );
}
