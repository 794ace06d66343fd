/** What machines say of themselves when they join, and what they hear of their task. */
import { z } from "@hono/zod-openapi";
import { figure, integer, jsonObject, text } from "../http/schemas.ts";
import { utf8Length } from "../lib/json.ts";
import type { Machine } from "./model.ts";
import { ipAddress, MAX_GPUS_PER_NODE, taskFields } from "./wire-schemas.ts";

const MAX_INVENTORY_BYTES = 64 * 1_024;
/** Numbers of an inventory can take more once they are written out. */
export const INVENTORY_BYTES = 2 * MAX_INVENTORY_BYTES;

export const pollAfterSeconds = figure("When to ask again; 0: at once.", {
  minimum: 0,
  maximum: 60,
});

/** Also the port's range, which the check below tests apart to say so. */
const CLUSTER_ADDRESS =
  "^(?:\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$";

export const clusterAddress = z
  .string()
  .max(260)
  .regex(
    /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):[0-9]{1,5}$/,
    "must be host:port, an IPv6 host in brackets",
  )
  .refine((address) => {
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    return port >= 1 && port <= 65_535;
  }, "must have a port between 1 and 65535")
  .openapi({
    pattern: CLUSTER_ADDRESS,
    description: "`host:port` where the other nodes reach this one, an IPv6 host in brackets.",
    example: "10.0.0.4:7117",
  });

export const nodeTask = z
  .strictObject(taskFields)
  .openapi("NodeTask", { description: "A node's task, as the node sees it." });

/** What joining and heartbeats answer. */
export const taskReply = z
  .strictObject({ ...taskFields, poll_after_seconds: pollAfterSeconds })
  .openapi("NodeTaskReply", { description: "The node's task, and when to ask for work." });

/** What a machine may say of itself when it joins. */
export const machineFields = {
  machine_ip: ipAddress.nullish(),
  cluster_address: clusterAddress.nullish(),
  gpu_model: text({
    min: 1,
    max: 128,
    trim: true,
    description: "As the driver names it.",
    example: "NVIDIA H100 NVL",
  }).nullish(),
  gpu_count: integer({
    min: 0,
    max: MAX_GPUS_PER_NODE,
    description: "GPUs in this machine.",
    example: 1,
  }).nullish(),
  inventory: jsonObject({
    maxBytes: MAX_INVENTORY_BYTES,
    description: "What is in the machine; kept as it is. At most 64 KiB of JSON.",
  })
    .refine(
      (inventory) => utf8Length(JSON.stringify(inventory)) <= MAX_INVENTORY_BYTES,
      `must be at most ${MAX_INVENTORY_BYTES} bytes of JSON`,
    )
    .nullish(),
};

const saidFields = z.object(machineFields);

/** The machine that joins, as the coordinator knows it. */
export function toMachine(machineUuid: string, said: z.infer<typeof saidFields>): Machine {
  return {
    machineUuid,
    machineIp: said.machine_ip ?? null,
    clusterAddress: said.cluster_address ?? null,
    gpuModel: said.gpu_model ?? null,
    gpuCount: said.gpu_count ?? null,
    inventory: said.inventory ? JSON.stringify(said.inventory) : null,
  };
}
