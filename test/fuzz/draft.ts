/** A request before encoding: values by name, which providers and faults may change. */
import fc from "fast-check";
import type { Conformance } from "./conformance.ts";
import type { ApiDocument, Operation, Parameter, Schema } from "./document.ts";
import { validValues } from "./valid-values.ts";
import type { WireRequest } from "./wire.ts";

export interface Draft {
  path: Record<string, string>;
  /** Ordered pairs; a name may be repeated. */
  query: [name: string, value: string][];
  headers: Record<string, string>;
  /** Undefined when the request has no body. */
  body: unknown;
}

/** A draft and a number for the providers' choices, drawn together so that a seed repeats both. */
export interface DrawnDraft {
  draft: Draft;
  choice: number;
}

export function validDrafts(
  document: ApiDocument,
  conformance: Conformance,
  operation: Operation,
): fc.Arbitrary<DrawnDraft> {
  const values = (schema: Schema) => validValues(document, schema, conformance.accepts);
  const optional = (required: boolean, arbitrary: fc.Arbitrary<unknown>) =>
    required ? arbitrary : fc.option(arbitrary, { nil: undefined, freq: 2 });
  const parameters = (place: Parameter["in"]) =>
    fc
      .tuple(
        ...operation.parameters
          .filter((parameter) => parameter.in === place)
          .map(({ name, required, schema }) =>
            optional(required, values(schema)).map((value) => [name, value] as const),
          ),
      )
      .map((pairs) =>
        pairs.flatMap(([name, value]): [string, string][] =>
          value === undefined ? [] : [[name, asText(value)]],
        ),
      );
  const { body } = operation;
  return fc.record({
    draft: fc.record({
      path: parameters("path").map((pairs) => Object.fromEntries(pairs)),
      query: parameters("query"),
      headers: parameters("header").map((pairs) => Object.fromEntries(pairs)),
      body: body === null ? fc.constant(undefined) : optional(body.required, values(body.schema)),
    }),
    choice: fc.nat({ max: 999_999 }),
  });
}

/** The text of a parameter; lists are comma-separated (`style: form`, `explode: false`). */
function asText(value: unknown): string {
  return Array.isArray(value) ? value.join(",") : String(value);
}

const FORM = "application/x-www-form-urlencoded";

export function isForm(operation: Operation): boolean {
  return operation.body?.mediaType === FORM;
}

/** Encodes a body in the operation's media type. */
export function bodyText(operation: Operation, body: unknown): string {
  return isForm(operation) ? encodePairs(formFields(body)) : JSON.stringify(body);
}

/** The form fields of an object. */
export function formFields(body: unknown): [string, string][] {
  return Object.entries(body ?? {}).map(([name, value]) => [name, String(value)]);
}

export function encodePairs(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`).join("&");
}

/** Percent-encodes text. A lone surrogate cannot be encoded and becomes U+FFFD, as in other encoders. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

export function pathOf(operation: Operation, draft: Draft): string {
  return operation.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) =>
    percentEncode(draft.path[name] ?? ""),
  );
}

export function toWire(operation: Operation, draft: Draft, token: string | null): WireRequest {
  const query = draft.query.length === 0 ? "" : `?${encodePairs(draft.query)}`;
  const text = draft.body === undefined ? null : bodyText(operation, draft.body);
  return {
    method: operation.method,
    target: pathOf(operation, draft) + query,
    headers: {
      ...(text === null ? {} : { "content-type": operation.body?.mediaType ?? FORM }),
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...Object.fromEntries(
        // Node sends header values as Latin-1, so other values cannot be sent.
        Object.entries(draft.headers).filter(([, value]) =>
          /^[\t\x20-\x7e\x80-\xff]*$/.test(value),
        ),
      ),
    },
    body: text === null ? null : new TextEncoder().encode(text),
    chunked: false,
  };
}
