import { createRoute, z } from "@hono/zod-openapi";
import type { Benchmark } from "../benchmarks/benchmark.ts";
import { errors, json } from "../http/responses.ts";
import { jsonObject } from "../http/schemas.ts";

export const displayField = z
  .object({ display_name: z.string().max(128), unit: z.string().max(32) })
  .openapi("DisplayField");

const benchmark = z
  .object({
    id: z.string().max(64).openapi({ example: "quick_mark" }),
    name: z.string().max(128).openapi({ example: "QuickMark" }),
    type: z.enum(["node", "cluster"]).openapi({
      description:
        "`node`: each machine alone. `cluster`: all machines together, behind a barrier.",
    }),
    min_nodes: z.int().openapi({ example: 1 }),
    description: z.string().max(1024),
    config_schema: jsonObject.openapi({ description: "JSON Schema of the config on creation." }),
    fields: z.record(z.string().max(128), displayField).openapi({
      description: "The fields of results, by name.",
    }),
  })
  .openapi("Benchmark");

export const listBenchmarksRoute = createRoute({
  method: "get",
  path: "/api/silicon-mark/v1/benchmarks",
  operationId: "listBenchmarks",
  tags: ["Benchmarks"],
  summary: "The benchmark catalogue",
  description:
    "What a job can run: ids, options and the fields of results. For every signed-in user.",
  security: [{ OAuth2PasswordBearer: [] }],
  responses: {
    200: json(z.object({ benchmarks: z.array(benchmark).max(256) }), "The catalogue."),
    ...errors("CLIENT_TOKEN_INVALID"),
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
