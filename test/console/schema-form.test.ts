/** Forms from JSON Schema: of this catalogue, and of benchmarks that are still to come. */
import { expect, test } from "vitest";
import { fieldsOf, readForm } from "../../console/lib/schema-form.ts";
import {
  EMPTY,
  type FormFaults,
  fieldOfFault,
  readOrder,
} from "../../console/pages/new-job/order.ts";

const schema = {
  type: "object",
  required: ["size", "limits"],
  properties: {
    size: { type: "integer", minimum: 64, maximum: 8192, description: "MiB." },
    share: { type: "number", exclusiveMinimum: 0, default: 0.5 },
    mode: { enum: ["fast", "slow"], default: "fast" },
    direct: { type: "boolean" },
    path: { type: "string", maxLength: 10, title: "Path of the file" },
    sizes: { type: "array", items: { type: "integer" } },
    limits: { type: "object", required: ["ms"], properties: { ms: { type: "integer" } } },
    rest: { type: "array", items: { type: "object" } },
  },
};

test("each property becomes a field of its kind, with its bounds and its default", () => {
  const fields = fieldsOf(schema);
  expect(fields.map(({ name, kind }) => [name, kind])).toEqual([
    ["size", "integer"],
    ["share", "number"],
    ["mode", "choice"],
    ["direct", "flag"],
    ["path", "text"],
    ["sizes", "list"],
    ["limits.ms", "integer"],
    ["rest", "json"],
  ]);
  expect(fields[0]).toMatchObject({ min: 64, max: 8192, isRequired: true, description: "MiB." });
  expect(fields[1]).toMatchObject({ min: 0, max: null, initial: "0.5", isRequired: false });
  expect(fields[2]).toMatchObject({ choices: ["fast", "slow"], initial: "fast" });
  expect(fields[4]).toMatchObject({ title: "Path of the file", maxLength: 10 });
});

test("what was typed becomes a value, without what was left empty", () => {
  const typed = {
    size: " 512 ",
    share: "0.25",
    mode: "slow",
    direct: "false",
    path: "",
    sizes: "1, 2",
    "limits.ms": "30",
    rest: '[{"a":1}]',
  };
  expect(readForm(fieldsOf(schema), typed)).toEqual({
    ok: true,
    value: {
      size: 512,
      share: 0.25,
      mode: "slow",
      direct: false,
      sizes: [1, 2],
      limits: { ms: 30 },
      rest: [{ a: 1 }],
    },
  });
});

test.each([
  [{}, "size", "required"],
  [{ size: "63" }, "size", "range"],
  [{ size: "64.5" }, "size", "integer"],
  [{ size: "many" }, "size", "number"],
  [{ size: "64", rest: "{" }, "rest", "json"],
  [{ size: "64", "limits.ms": "" }, "limits.ms", "required"],
])("%o is refused at %s as %s", (typed, field, kind) => {
  const read = readForm(fieldsOf(schema), typed);
  expect(read).toMatchObject({ ok: false, faults: { [field]: { kind } } });
});

const benchmark = (id: string, min: number, properties: object) => ({
  id,
  name: id,
  type: "node" as const,
  min_nodes: min,
  description: "",
  config_schema: { type: "object", properties },
  fields: {},
});
const catalogue = [
  benchmark("quick_mark", 1, {}),
  benchmark("host_mark", 1, { disk_mib: { type: "integer", minimum: 64 } }),
  benchmark("cluster_network", 2, {}),
];

test("an order has null for what is empty, and a config only where something was typed", () => {
  const form = {
    ...EMPTY,
    nodes: "2",
    tags: " a, ,b ",
    provider: " Lambda ",
    benchmarks: ["host_mark", "quick_mark"],
    options: { host_mark: { disk_mib: "64" } },
    specUse: "compare" as const,
    spec: "h100-node",
  };
  expect(readOrder(form, catalogue)).toEqual({
    order: {
      name: null,
      description: null,
      tags: ["a", "b"],
      node_count: 2,
      benchmarks: ["quick_mark", { benchmark_id: "host_mark", config: { disk_mib: 64 } }],
      provider: "Lambda",
      region: null,
      order: null,
      expected_spec: "h100-node",
    },
  });
});

test.each([
  ["0", ["quick_mark"], "range"],
  ["257", ["quick_mark"], "range"],
  ["", ["quick_mark"], "range"],
  ["1", ["quick_mark", "cluster_network"], "min_nodes"],
])("%s machines for %j are refused as %s", (nodes, benchmarks, kind) => {
  const read = readOrder({ ...EMPTY, nodes, benchmarks }, catalogue);
  const faults: FormFaults = "faults" in read ? read.faults : {};
  expect(faults.nodes).toMatchObject({ kind });
});

test.each([
  ["benchmarks.1.config.disk_mib", "host_mark.disk_mib"],
  ["node_count", "nodes"],
  ["expected_spec", "spec"],
  ["tags.3", "tags"],
  ["name", "name"],
])("the server's fault of %s stands at %s", (path, field) => {
  expect(fieldOfFault(path, ["quick_mark", "host_mark"])).toBe(field);
});
