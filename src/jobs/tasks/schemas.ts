/** Wire form of tasks. */
import { z } from "@hono/zod-openapi";
import { MAX_PAGE, nextCursor } from "../../api/lists.ts";
import { figure, integer, jsonObject, orNull, text } from "../../api/schemas.ts";
import { INVENTORY_BYTES } from "../../coordinator/wire/machine.ts";
import {
  nodeFindings,
  performanceNode,
  performanceStatus,
} from "../../scoreboard/verdict-schemas.ts";
import { ownTaskFields, taskResultMap } from "../result-schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;

const listedTask = z
  .strictObject({
    ...ownTaskFields,
    findings: orNull(nodeFindings).openapi({
      description: "Findings on the node; null until its job is rated.",
    }),
    performance_status: orNull(performanceStatus).openapi({
      description: "Rating of the node; null until its job is rated.",
    }),
    replayed: z.boolean().nullable().openapi({
      description: "True if its figures are a recording; null until its job is rated.",
    }),
    benchmark_results: orNull(taskResultMap).openapi({
      description: "Results that this node has sent; null without `include_results`.",
    }),
  })
  .openapi("ListedTask", { description: "One node's part of a job, in a list." });

const taskPagination = z
  .strictObject({
    page: integer({ min: 1, max: MAX_PAGE, description: "This page, from 1.", example: 1 }),
    per_page: integer({ min: 1, max: 300, description: "Items on a full page.", example: 20 }),
    total: integer({ min: 0, max: MAX_COUNT, description: "Items on all pages.", example: 1 }),
    pages: integer({ min: 0, max: MAX_COUNT, description: "Number of pages.", example: 1 }),
    next_cursor: nextCursor,
  })
  .openapi("TaskPagination", { description: "The position of this page in the list." });

export const taskPage = z
  .strictObject({
    data: z.array(listedTask).max(300).openapi({ description: "The tasks of this page." }),
    pagination: taskPagination,
  })
  .openapi("TaskPage", { description: "One page of a list of tasks." });

const gpuSpec = z
  .strictObject({
    gpu_model: text({ min: 1, max: 128, description: "As named by the driver." }),
    bf16_tflops: figure("BF16 on tensor cores, dense."),
    tf32_tflops: figure("TF32 on tensor cores, dense; QuickMark measures it as `fp32_tflops`."),
    fp32_cuda_core_tflops: figure("FP32 on CUDA cores."),
    memory_bandwidth_gbs: figure("Memory bandwidth, GB/s."),
  })
  .openapi("ManufacturerGpuSpec", {
    description: "Peak figures of one GPU, from its manufacturer's data sheet.",
  });

export const taskWithResults = z
  .strictObject({
    ...ownTaskFields,
    benchmark_results: taskResultMap,
    performance: orNull(performanceNode).openapi({
      description: "Rating of the node, with reasons; null until its job is rated.",
    }),
    inventory: jsonObject({
      maxBytes: INVENTORY_BYTES,
      description: "Inventory of the machine, as sent by its agent; null if it sent none.",
    }).nullable(),
    manufacturer_gpu_spec: orNull(gpuSpec).openapi({
      description:
        "Data sheet of the GPU model; null for an unknown model. For information only: healthy machines reach 54–85 % of these figures.",
    }),
  })
  .openapi("TaskWithResults", { description: "One node's part of a job, with its results." });

export type TaskWithResultsWire = z.infer<typeof taskWithResults>;
export type ListedTaskWire = z.infer<typeof listedTask>;
