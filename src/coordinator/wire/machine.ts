/** A machine as described by its agent on joining. */
import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { sentGpuModels } from "../../api/gpus.ts";
import { integer, jsonObject, text } from "../../api/schemas.ts";
import { MAX_GPUS_PER_NODE, toHardware } from "../../benchmarks/gpus.ts";
import { hostNameOf } from "../../lib/host-name.ts";
import { utf8Bytes, utf8Length } from "../../lib/json.ts";
import type { PromisedHardware, SpecCheck } from "../../lib/stored-spec-check.ts";
import type { Machine } from "../life/model.ts";
import { ipAddress } from "./task.ts";

const MAX_INVENTORY_BYTES = 64 * 1_024;
/** Bound of a stored inventory: its numbers can be longer than they were sent. */
export const INVENTORY_BYTES = 2 * MAX_INVENTORY_BYTES;

/** Any version and variant: machine ids are random bits in the shape of a UUID. */
export const UUID = /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** Pattern in the API document, with the port's range; the schema checks the range apart, for a clearer message. */
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
    description:
      "`host:port` at which the other nodes reach this machine; an IPv6 host is in brackets.",
    example: "10.0.0.4:7117",
  });

/** Other nodes try one after the other, a few seconds each. */
const MAX_CLUSTER_ADDRESSES = 8;

/** Addresses of a machine, best first. */
export const clusterAddresses = z
  .array(clusterAddress)
  .max(MAX_CLUSTER_ADDRESSES)
  .openapi({
    description: "All addresses of this kind, best first. `cluster_address` is the first.",
    example: ["10.0.0.4:7117", "[fd00::4]:7117"],
  });

/** Optional fields of a machine that joins. */
export const machineFields = {
  machine_ip: ipAddress.nullish().openapi({ type: ["string", "null"] }),
  cluster_address: clusterAddress.nullish(),
  cluster_addresses: clusterAddresses.nullish(),
  gpu_model: text({
    min: 1,
    max: 128,
    trim: true,
    description: "GPU model, as named by the driver.",
    example: "NVIDIA H100 NVL",
  }).nullish(),
  gpu_count: integer({
    min: 0,
    max: MAX_GPUS_PER_NODE,
    description: "Number of GPUs in the machine.",
    example: 1,
  }).nullish(),
  gpu_models: sentGpuModels.nullish(),
  inventory: jsonObject({
    maxBytes: MAX_INVENTORY_BYTES,
    description: "The machine's hardware and software, stored as sent.",
  })
    .refine(
      (inventory) => utf8Length(JSON.stringify(inventory)) <= MAX_INVENTORY_BYTES,
      `must be at most ${MAX_INVENTORY_BYTES} bytes of JSON`,
    )
    .nullish(),
  boot_id: z
    .string()
    .regex(UUID, "must be a UUID, such as /proc/sys/kernel/random/boot_id has")
    .nullish()
    .openapi({
      format: "uuid",
      maxLength: 36,
      description: "The kernel's id of this boot; it changes when the machine restarts.",
      example: "1b7c3e0a-6f5d-4d1c-9b1e-0a2f5f0c7d11",
    }),
};

const optionalFields = z.object(machineFields);

/** A machine as the Worker sends it to the job's object. */
export type SentMachine = Omit<Machine, "inventoryHash" | "hostName" | "specCheck"> & {
  /** JSON, as the agent sent it. */
  inventory: string | null;
};

/** Absent fields are null. `cluster_address` comes first, also if the list does not say so. */
export function toMachine(machineUuid: string, sent: z.infer<typeof optionalFields>): SentMachine {
  const { cluster_address: first, cluster_addresses: all } = sent;
  const addresses = new Set([...(first == null ? [] : [first]), ...(all ?? [])]);
  return {
    machineUuid,
    machineIp: sent.machine_ip ?? null,
    clusterAddresses: [...addresses].slice(0, MAX_CLUSTER_ADDRESSES),
    ...toHardware(sent),
    inventory: sent.inventory ? JSON.stringify(sent.inventory) : null,
    bootId: sent.boot_id?.toLowerCase() ?? null,
  };
}

/**
 * The machine as the lifecycle stores it, with exactly these fields, and its inventory apart: a Worker of an older
 * version sends fewer fields, of a newer version more.
 *
 * @param check compares an inventory with the spec of the job; null for no spec
 */
export function readMachine(
  sent: Pick<SentMachine, "machineUuid"> & Partial<SentMachine>,
  check: ((inventory: unknown) => SpecCheck) | null = null,
) {
  const { machineUuid, machineIp = null, clusterAddresses = [] } = sent;
  const { gpuModel = null, gpuCount = null, gpuModels = null, bootId = null } = sent;
  const inventory = typeof sent.inventory === "string" ? utf8Bytes(sent.inventory) : null;
  const inventoryHash =
    inventory === null ? null : createHash("sha256").update(inventory).digest("base64url");
  const sentInventory: unknown = inventory === null ? null : JSON.parse(sent.inventory ?? "null");
  const hostName = hostNameOf(sentInventory);
  const machine: Machine = {
    machineUuid,
    machineIp,
    clusterAddresses,
    gpuModel,
    gpuCount,
    gpuModels,
    inventoryHash,
    bootId,
    ...(hostName === null ? {} : { hostName }),
    ...(check === null || inventory === null ? {} : { specCheck: check(sentInventory) }),
  };
  return { machine, inventory };
}

/** Compares inventories with the spec that the job expects; null for none. */
export async function specCheckOf(
  expected: PromisedHardware | undefined,
): Promise<((inventory: unknown) => SpecCheck) | null> {
  if (expected === undefined) return null;
  const { checkSpec } = await import("../../benchmarks/spec-check.ts");
  return (inventory) => checkSpec(expected, inventory);
}
