/** The GPUs of a node by model, as it sends them and as they are shown. */
import { z } from "@hono/zod-openapi";
import { MAX_GPUS_PER_NODE, MAX_MODELS_PER_NODE } from "../benchmarks/gpus.ts";
import { integer, text } from "./schemas.ts";

const MODEL = { min: 1, max: 128, description: "As named by the driver." };
const COUNT = { min: 1, max: MAX_GPUS_PER_NODE, description: "GPUs of this model." };

/** Of a machine that joins. */
export const sentGpuModels = z
  .array(
    z
      .object({ model: text({ ...MODEL, trim: true }), count: integer(COUNT) })
      .openapi("GpuGroup", { description: "GPUs of one model." }),
  )
  .max(MAX_MODELS_PER_NODE)
  .refine(
    (groups) => groups.reduce((sum, { count }) => sum + count, 0) <= MAX_GPUS_PER_NODE,
    `must be at most ${MAX_GPUS_PER_NODE} GPUs`,
  )
  .openapi({
    description:
      "The GPUs by model, for a machine with several; then `gpu_model` and `gpu_count` are not needed, and ignored.",
  });

/** Of a node. */
export const shownGpuModels = z
  .array(
    z.strictObject({ model: text(MODEL), count: integer(COUNT).nullable() }).openapi("GpuModel", {
      description: "GPUs of one model; `count` is null for a machine that did not state it.",
    }),
  )
  .max(MAX_MODELS_PER_NODE)
  .openapi({ description: "The machine's GPUs by model; empty if it sent none." });

export const shownGpuModel = text({
  min: 1,
  max: 128,
  description: "GPU model, as named by the driver; null for none, and for several.",
}).nullable();
