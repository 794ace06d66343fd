/** What a task looks like on the wire, in lists. */
import { z } from "@hono/zod-openapi";
import { INVENTORY_BYTES } from "../../coordinator/machine-schemas.ts";
import { taskFields } from "../../coordinator/wire-schemas.ts";
import { nextCursor } from "../../http/pagination.ts";
import { MAX_PAGE } from "../../http/paging.ts";
import { figure, integer, jsonObject, orNull, text } from "../../http/schemas.ts";
import { performanceNode, performanceStatus } from "../../scoreboard/verdict-schemas.ts";
import { taskResultMap } from "../result-schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;

const listedTask = z
  .strictObject({
    ...taskFields,
    performance_status: orNull(performanceStatus).openapi({
      description: "How the node compares; null until its job is rated.",
    }),
    benchmark_results: orNull(taskResultMap).openapi({
      description: "What this node has sent; null unless `include_results` asks for it.",
    }),
  })
  .openapi("ListedTask", { description: "One node's part of a job, as lists show it." });

const taskPagination = z
  .strictObject({
    page: integer({ min: 1, max: MAX_PAGE, description: "This page, from 1.", example: 1 }),
    per_page: integer({ min: 1, max: 300, description: "Items on a full page.", example: 20 }),
    total: integer({ min: 0, max: MAX_COUNT, description: "Items on all pages.", example: 1 }),
    pages: integer({ min: 0, max: MAX_COUNT, description: "Pages in all.", example: 1 }),
    next_cursor: nextCursor,
  })
  .openapi("TaskPagination", { description: "Where this page stands in the whole list." });

export const taskPage = z
  .strictObject({
    data: z.array(listedTask).max(300).openapi({ description: "The tasks of this page." }),
    pagination: taskPagination,
  })
  .openapi("TaskPage", { description: "One page of a list of tasks." });

const gpuSpec = z
  .strictObject({
    gpu_model: text({ min: 1, max: 128, description: "As the driver names it." }),
    bf16_tflops: figure("BF16 on tensor cores, dense."),
    tf32_tflops: figure("TF32 on tensor cores, dense; what QuickMark measures as `fp32_tflops`."),
    fp32_cuda_core_tflops: figure("True FP32."),
    memory_bandwidth_gbs: figure("GB/s."),
  })
  .openapi("ManufacturerGpuSpec", {
    description: "Peak figures of one GPU by its manufacturer's data sheet.",
  });

export const taskWithResults = z
  .strictObject({
    ...taskFields,
    benchmark_results: taskResultMap,
    performance: orNull(performanceNode).openapi({
      description: "How the node compares, and why; null until its job is rated.",
    }),
    inventory: jsonObject({
      maxBytes: INVENTORY_BYTES,
      description: "What is in the machine, as its agent said; null when it said nothing.",
    }).nullable(),
    manufacturer_gpu_spec: orNull(gpuSpec).openapi({
      description:
        "The data sheet of the GPU model; null for an unknown one. For information: healthy machines reach 54–85 % of such figures.",
    }),
  })
  .openapi("TaskWithResults", { description: "One node's part of a job, with all it measured." });

export type TaskWithResultsWire = z.infer<typeof taskWithResults>;
export type ListedTaskWire = z.infer<typeof listedTask>;
