import { z } from "@hono/zod-openapi";
import type { Benchmark } from "../benchmarks/benchmark.ts";
import { operation } from "../http/operation.ts";
import { json } from "../http/responses.ts";
import { integer, jsonObject, map, text, word } from "../http/schemas.ts";

export const displayField = z
  .strictObject({
    display_name: text({
      min: 1,
      max: 128,
      description: "For people.",
      example: "Memory bandwidth",
    }),
    unit: text({ max: 32, description: "Empty for a plain count.", example: "GB/s" }),
  })
  .openapi("DisplayField", { description: "How to show a field of a result." });

const CONFIG_SCHEMA_BYTES = 64 * 1_024;

const benchmark = z
  .strictObject({
    id: word({
      pattern: /^[a-z0-9_]+$/,
      max: 64,
      description: "What a job asks for.",
      example: "quick_mark",
    }),
    name: text({ min: 1, max: 128, description: "For people.", example: "QuickMark" }),
    type: z.enum(["node", "cluster"]).openapi({
      description:
        "`node`: each machine alone. `cluster`: all machines together, behind a barrier.",
    }),
    min_nodes: integer({
      min: 1,
      max: 256,
      description: "A job with fewer nodes cannot run it.",
      example: 1,
    }),
    description: text({ min: 1, max: 1_024, description: "What it measures." }),
    config_schema: jsonObject({
      maxBytes: CONFIG_SCHEMA_BYTES,
      description: "JSON Schema of its options when a job is created.",
    }),
    fields: map(displayField, {
      maxProperties: 64,
      keyPattern: "^[a-z0-9_]+$",
      description: "The fields of its results, by name.",
    }),
  })
  .openapi("Benchmark", { description: "Something that a job can run." });

const catalogue = z
  .strictObject({ benchmarks: z.array(benchmark).max(256) })
  .openapi("BenchmarkCatalogue", { description: "Every benchmark there is." });

export const listBenchmarksRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/benchmarks",
  operationId: "listBenchmarks",
  tags: ["Benchmarks"],
  summary: "The benchmark catalogue",
  description:
    "What a job can run: ids, options and the fields of results, with their display names and units. For every signed-in user; it changes only with the server's version.",
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
