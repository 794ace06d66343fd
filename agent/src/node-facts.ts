/** What a node tells the server of itself when it joins or claims. */
import { cardGbps } from "./cluster-network/card-rate.ts";
import type { Location } from "./cluster-network/own-addresses.ts";
import { formatHostPort } from "./host-port.ts";
import type { MachineFacts } from "./machine.ts";
import { AGENT_VERSION } from "./version.ts";

export interface NodeFacts {
  /** Asked anew at each join and claim: a standing machine changes its networks. */
  locate: () => Promise<Location>;
  facts: MachineFacts;
  /** See `readBootId`. */
  bootId: string | null;
}

/** The facts about a node that it sends when it joins or claims. */
export async function describeNode({ locate, facts, bootId }: NodeFacts) {
  const { machineIp, clusterAddresses } = await locate();
  const addresses = clusterAddresses.map(formatHostPort);
  // A recording is of another machine.
  const isNamed = machineIp !== null && facts.inventory.replayed !== true;
  const rate = cardGbps(clusterAddresses[0]?.host ?? null);
  const card = rate === null ? {} : { card_gbps: rate };
  return {
    machine_ip: machineIp ?? undefined,
    cluster_address: addresses[0],
    cluster_addresses: addresses,
    gpu_model: facts.gpuModel ?? undefined,
    gpu_count: facts.gpuCount ?? undefined,
    gpu_models: facts.gpuModels.length > 1 ? facts.gpuModels : undefined,
    boot_id: bootId ?? undefined,
    // Reports name the software that measured.
    inventory: {
      ...facts.inventory,
      ...(isNamed ? { network: { machine_ip: machineIp, ...card } } : {}),
      agent_version: AGENT_VERSION,
    },
  };
}
