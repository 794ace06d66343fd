/** Wire form of machines. */
import { z } from "@hono/zod-openapi";
import { shownGpuModels } from "../api/gpus.ts";
import { pagination } from "../api/lists.ts";
import {
  figure,
  idString,
  integer,
  message,
  orNull,
  patternText,
  text,
  timestamp,
  uuid,
} from "../api/schemas.ts";
import { MAX_GPUS_PER_NODE } from "../benchmarks/gpus.ts";
import { SPEC_CHECK_STATUSES } from "../lib/enums.ts";
import { MAX_HOST_NAME } from "../lib/host-name.ts";
import { methodClass, ratedMetric } from "../scoreboard/schemas.ts";
import { performanceStatus } from "../scoreboard/verdict-schemas.ts";

const MAX_COUNT = Number.MAX_SAFE_INTEGER;
/** Bound of `provider` and `region`. */
export const MAX_PLACE = 100;
/** Bound of a history's points and of its events. */
export const MAX_POINTS = 100;

export const machine = z
  .strictObject({
    machine_uuid: uuid.openapi({
      description: "Identifies the machine, as reported by its agent.",
    }),
    host_name: text({
      max: MAX_HOST_NAME,
      description: "Host name; null if no inventory had it.",
      example: "gpu-node-17",
    }).nullable(),
    gpu_models: shownGpuModels,
    provider: text({
      max: MAX_PLACE,
      description: "As named by its jobs; null if no job names it.",
      example: "Lambda",
    }).nullable(),
    region: text({
      max: MAX_PLACE,
      description: "As named by its jobs; null if no job names it.",
      example: "us-east-1",
    }).nullable(),
    jobs: integer({ min: 1, max: MAX_COUNT, description: "Jobs that it joined.", example: 12 }),
    last_job_id: idString.openapi({ description: "The job that it joined last." }),
    last_seen_at: timestamp.openapi({ description: "Time at which it joined that job." }),
    status: orNull(performanceStatus).openapi({
      description: "Verdict of its last rated job; null before the first.",
    }),
    replayed: z.boolean().nullable().openapi({
      description:
        "True if the figures of that job are a recording instead of a measurement; null before the first.",
    }),
    findings: integer({
      min: 0,
      max: MAX_COUNT,
      description: "Number of its findings in its last rated job; null before the first.",
      example: 0,
    }).nullable(),
    spec_check: z.enum(SPEC_CHECK_STATUSES).nullable().openapi({
      description: "Outcome of its last comparison with an expected spec; null before the first.",
    }),
  })
  .openapi("Machine", {
    description:
      "A machine, as described by its last job that you may see; facts that this job lacks come from its last 10 jobs.",
  });

export const machinePage = z
  .strictObject({
    results: z.array(machine).max(300).openapi({ description: "The machines of this page." }),
    pagination,
  })
  .openapi("MachinePage", { description: "One page of a list of machines." });

const point = z
  .strictObject({
    job_id: idString.openapi({ description: "The job." }),
    task_id: idString.openapi({ description: "The machine's task of that job." }),
    at: timestamp.openapi({ description: "The end of the task." }),
    metric: ratedMetric,
    gpu_model: text({
      min: 1,
      max: 128,
      description: "The GPU model of the figure, as named by the driver; null if unnamed.",
    }).nullable(),
    class: methodClass,
    method: patternText({
      pattern: /^[\s\S]+$/,
      max: 128,
      description: "The method of the figure; null for QuickMark's own.",
      example: "copy.ptx.4gib/1",
    }).nullable(),
    value: figure("The figure per GPU, in the metric's unit."),
    ratio: figure("The figure divided by its baseline; null without a baseline.").nullable(),
    gpu_count: integer({
      min: 0,
      max: MAX_GPUS_PER_NODE,
      description: "Number of GPUs of this model; null if it is not known.",
    }).nullable(),
  })
  .openapi("MachinePoint", { description: "One figure of a machine." });

const change = z
  .strictObject({
    job_id: idString.openapi({ description: "The first job with the new hardware." }),
    task_id: idString.openapi({ description: "The machine's task of that job." }),
    at: timestamp.openapi({ description: "Time at which the machine joined that job." }),
    before: shownGpuModels.openapi({ description: "The GPUs in the previous job." }),
    after: shownGpuModels.openapi({ description: "The GPUs in this job." }),
    message: message(4_096, "The change in words."),
  })
  .openapi("HardwareChange", { description: "A change of a machine's GPUs between two jobs." });

export const machineHistory = z
  .strictObject({
    machine_uuid: uuid.openapi({ description: "The machine." }),
    points: z.array(point).max(MAX_POINTS).openapi({ description: "Figures, newest first." }),
    events: z
      .array(change)
      .max(MAX_POINTS)
      .openapi({ description: "Changes of the hardware, newest first." }),
  })
  .openapi("MachineHistory", { description: "Figures of a machine's last jobs." });

export type MachineWire = z.infer<typeof machine>;
export type PointWire = z.infer<typeof point>;
export type ChangeWire = z.infer<typeof change>;
export type HistoryWire = z.infer<typeof machineHistory>;
