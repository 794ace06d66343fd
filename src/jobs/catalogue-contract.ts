import { z } from "@hono/zod-openapi";
import { json, operation } from "../api/operation.ts";
import { integer, jsonObject, map, patternText, text } from "../api/schemas.ts";
import type { Benchmark } from "../benchmarks/benchmark.ts";

export const displayField = z
  .strictObject({
    display_name: text({
      min: 1,
      max: 128,
      description: "Human-readable name.",
      example: "Memory bandwidth",
    }),
    unit: text({ max: 32, description: "Empty for a plain count.", example: "GB/s" }),
  })
  .openapi("DisplayField", { description: "Display name and unit of a result field." });

const CONFIG_SCHEMA_BYTES = 64 * 1_024;

const benchmark = z
  .strictObject({
    id: patternText({
      pattern: /^[a-z0-9_]+$/,
      max: 64,
      description: "The id that jobs name.",
      example: "quick_mark",
    }),
    name: text({ min: 1, max: 128, description: "Human-readable name.", example: "QuickMark" }),
    type: z.enum(["node", "cluster"]).openapi({
      description:
        "`node`: runs on each machine separately. `cluster`: runs on all machines together, after a barrier.",
    }),
    min_nodes: integer({
      min: 1,
      max: 256,
      description: "Minimum number of nodes of a job that runs it.",
      example: 1,
    }),
    description: text({ min: 1, max: 1_024, description: "What it measures." }),
    config_schema: jsonObject({
      maxBytes: CONFIG_SCHEMA_BYTES,
      description: "JSON Schema of the options that a job can set.",
    }),
    fields: map(displayField, {
      maxProperties: 64,
      keyPattern: "^[a-z0-9_]+$",
      description: "Fields of its results, by name.",
    }),
  })
  .openapi("Benchmark", { description: "A benchmark that jobs can run." });

const catalogue = z
  .strictObject({ benchmarks: z.array(benchmark).max(256) })
  .openapi("BenchmarkCatalogue", { description: "All benchmarks." });

export const listBenchmarksRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/benchmarks",
  operationId: "listBenchmarks",
  tags: ["Benchmarks"],
  summary: "List benchmarks",
  description:
    "Lists the benchmarks that a job can run: ids, options and result fields, with their display names and units. The catalogue changes only with the server's version.\n\nFor every signed-in user.",
  access: "user",
  single: true,
  responses: {
    200: json(catalogue, {
      description: "The catalogue.",
      example: {
        benchmarks: [
          {
            id: "cluster_network",
            name: "Cluster Network",
            type: "cluster",
            min_nodes: 2,
            description:
              "Every directed pair of nodes measures bandwidth and round-trip latency over TCP, in rounds of disjoint pairs.",
            config_schema: {
              type: "object",
              properties: { duration_seconds: { type: "number", minimum: 0.5, maximum: 30 } },
              additionalProperties: false,
            },
            fields: {
              avg_bandwidth_gbps: { display_name: "Average bandwidth", unit: "Gbit/s" },
              total_links_tested: { display_name: "Links tested", unit: "" },
            },
          },
        ],
      },
    }),
  },
});

export function toBenchmarkWire(entry: Benchmark): z.infer<typeof benchmark> {
  return {
    id: entry.id,
    name: entry.name,
    type: entry.kind,
    min_nodes: entry.minNodes,
    description: entry.description,
    config_schema: z.toJSONSchema(entry.config),
    fields: { ...entry.fields },
  };
}
