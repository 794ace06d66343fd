/** What `npm run check` finds in an API document that client generators would misread. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "vitest";
import { type Document, documentFaults } from "../../scripts/lib/document-faults.ts";
import { ROOT } from "../../scripts/lib/project.ts";

type Schemas = Document["components"]["schemas"];

const documentOf = (schemas: Schemas, more: Partial<Document> = {}): Document => ({
  paths: {},
  components: { schemas },
  ...more,
});
const text = { type: "string" };

describe("each shape is found", () => {
  const shapes: [name: string, property: Schemas[string], fault: string][] = [
    ["a property of null alone", { type: "null" }, "Thing.part: only null is no type"],
    ["an enumeration of booleans", { type: "boolean", enum: [false] }, "enumeration of booleans"],
    ["a constant boolean", { type: "boolean", const: false }, "enumeration of booleans"],
    ["anyOf", { anyOf: [text, { type: "integer" }] }, "Thing.part: alternatives need `oneOf`"],
    ["oneOf without names", { oneOf: [text, { $ref: "#/x" }] }, "members with names"],
    ["a scalar or null as alternatives", { anyOf: [text, { type: "null" }] }, "two types"],
    ["allOf", { allOf: [{ $ref: "#/components/schemas/Thing" }] }, "Thing.part: `allOf`"],
    ["many properties", { type: "object", maxProperties: 101 }, "up to 101 properties"],
    ["an exclusive bound", { type: "number", exclusiveMinimum: 0 }, "exclusive bounds"],
    ["an object without a name", { type: "object", properties: { a: text } }, "without a name"],
    ["an enumeration without a name", { ...text, enum: ["a", "b"] }, "Thing.part: a part without"],
    ["one in a list", { type: "array", items: { ...text, enum: ["a", "b"] } }, "Thing.part[]: a"],
    ["one in a map", { type: "object", additionalProperties: { enum: ["a", "b"] } }, "part{}: a"],
    ["a default", { ...text, default: "a" }, "Thing.part: a default makes an optional field"],
  ];
  test.for(shapes)("%s", ([, property, fault], { expect }) => {
    const faults = documentFaults(
      documentOf({ Thing: { type: "object", properties: { part: property } } }),
    );
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(fault);
  });

  test("names that clash", ({ expect }) => {
    const faults = documentFaults({
      paths: {},
      components: { schemas: { Key: text, NewKey: text }, securitySchemes: { Key: {} } },
    });
    expect(faults).toEqual([
      "Key: a security scheme has the same name. Rename one of them.",
      "NewKey: Go makes a constructor of this name for Key. Rename it.",
    ]);
  });

  test("an enumeration beside an object, but not beside a text", ({ expect }) => {
    const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
    const Kind = { ...text, enum: ["a", "b"] };
    const Options = { type: "object", properties: { kind: ref("Kind") } };
    const faultsOf = (...names: string[]) =>
      documentFaults(documentOf({ Kind, Name: text, Options, Choice: { oneOf: names.map(ref) } }));
    expect(faultsOf("Kind", "Options")).toEqual([
      "Choice: an enumeration beside an object does not compile in TypeScript. Give it a pattern.",
    ]);
    expect(faultsOf("Name", "Options")).toEqual([]);
    expect(faultsOf("Kind", "Name")).toEqual([]);
  });

  test("an enumeration in a form, but not in JSON", ({ expect }) => {
    const schemas = {
      Kind: { ...text, enum: ["a", "b"] },
      Sent: { type: "object", properties: { kind: { $ref: "#/components/schemas/Kind" } } },
    };
    const faultsOf = (type: string) => {
      const content = { [type]: { schema: { $ref: "#/components/schemas/Sent" } } };
      return documentFaults(
        documentOf(schemas, { paths: { "/things": { post: { requestBody: { content } } } } }),
      );
    };
    expect(faultsOf("application/x-www-form-urlencoded")).toEqual([
      "kind: an enumeration in a form does not compile in Rust. Give it a pattern.",
    ]);
    expect(faultsOf("application/json")).toEqual([]);
  });

  test("a closed reply, but no closed request", ({ expect }) => {
    const closed = { type: "object", additionalProperties: false };
    const content = { "application/json": { schema: { $ref: "#/components/schemas/Sent" } } };
    const faults = documentFaults(
      documentOf(
        { Sent: closed, Shown: closed },
        { paths: { "/things": { post: { requestBody: { content } } } } },
      ),
    );
    expect(faults).toEqual([
      "Shown: a closed reply breaks strict clients with every new field. Leave it open.",
    ]);
  });

  test("an enumeration in a parameter, by its operation", ({ expect }) => {
    const parameters = [{ name: "sort", schema: { ...text, enum: ["a", "b"] } }];
    const faults = documentFaults(
      documentOf({}, { paths: { "/things": { get: { parameters } } } }),
    );
    expect(faults).toEqual([
      "//things/get/parameters/0: a part without a name. Name it in src/api/part-names.ts.",
    ]);
  });
});

test("what generators understand is no fault", ({ expect }) => {
  const faults = documentFaults(
    documentOf({
      Kind: { ...text, enum: ["a", "b"] },
      Thing: {
        type: "object",
        properties: {
          nullable: { type: ["string", "null"] },
          constant: { ...text, enum: ["a"] },
          reference: { $ref: "#/components/schemas/Kind" },
          maybe: { anyOf: [{ $ref: "#/components/schemas/Kind" }, { type: "null" }] },
          either: { oneOf: [{ $ref: "#/components/schemas/Kind" }, { $ref: "#/x" }] },
          map: { type: "object", additionalProperties: text, maxProperties: 100 },
        },
      },
    }),
  );
  expect(faults).toEqual([]);
});

test("the released document has none", ({ expect }) => {
  expect(documentFaults(JSON.parse(readFileSync(join(ROOT, "openapi.json"), "utf8")))).toEqual([]);
});
