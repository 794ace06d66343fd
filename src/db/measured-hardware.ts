/** The GPUs that QuickMark has measured, for queries of `tasks`. */
import { sql } from "drizzle-orm";
import { fromPacked } from "./forms.ts";
import { figuresPath, gpuGroups } from "./packed.ts";
import { tasks } from "./schema/tasks.ts";

/** A column of the task until it has figures; the machine may have changed since. */
const measured = (key: "gpuModel" | "gpuCount") =>
  sql`iif(${tasks.figures} is null, ${tasks[key]}, ${tasks.figures} ->> ${sql.raw(`'${figuresPath[key]}'`)})`;

const models = sql`iif(${tasks.figures} is null, ${tasks.gpuModels}, ${tasks.figures} -> ${sql.raw(`'${figuresPath.gpuModels}'`)})`;

export const measuredCount = measured("gpuCount");

export const measuredHardware = {
  gpuModel: sql<string | null>`${measured("gpuModel")}`.as("measured_gpu_model"),
  gpuCount: sql<number | null>`${measuredCount}`.as("measured_gpu_count"),
  gpuModels: fromPacked(gpuGroups, models).as("measured_gpu_models"),
};
