import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { type HostPort, isLoopback } from "../host-port.ts";

export const CLUSTER_PORT = 7117;
/** As many as the server takes. */
const MAX_ADDRESSES = 8;
/** For the server's name to be resolved. */
const SOURCE_WITHIN_MS = 1_000;
/** Documentation addresses (RFC 5737, RFC 3849): nobody's, so they are reached by the default route. */
const FAR_AWAY = { 4: "198.51.100.1", 6: "2001:db8::1" } as const;
/** UDP's discard service; nothing is ever sent. */
const ANY_PORT = 9;

/**
 * Interfaces whose addresses others on the network cannot reach or should not prefer: bridges and pairs of containers
 * and virtual machines, WSL, VPN tunnels. They count only if the route leads through them.
 */
const VIRTUAL =
  /^(docker|podman|br-|veth|virbr|vmnet|vboxnet|cni|cali|flannel|cilium|lxc|lxd|incus|kube|nerdctl|vethernet|wsl|tun|tap|wg|ppp|utun|tailscale|zt|ipsec)/i;

/** This machine's address on the way to a host, or null without a way there. */
export type SourceTowards = (host: string, family: 4 | 6) => Promise<string | null>;

/** Where others find this machine, as far as it knows. */
export interface Location {
  machineIp: string | null;
  /** Best first; empty if there is no network. */
  clusterAddresses: HostPort[];
}

/** @param given `--cluster-address`, which alone may be a loopback address */
export async function locate(given: HostPort | null, server: string | null): Promise<Location> {
  const found = await findOwnAddresses(server);
  const clusterAddresses = found.map((host) => ({ host, port: CLUSTER_PORT }));
  return {
    machineIp: found[0] ?? null,
    clusterAddresses: given === null ? clusterAddresses : [given],
  };
}

/**
 * The addresses at which others may reach this machine, best first: on the way to the server, by the default route,
 * then those of other interfaces.
 *
 * @param server null if the server is reached through a proxy, whose network says nothing about other nodes
 */
export async function findOwnAddresses(
  server: string | null,
  source: SourceTowards = sourceTowards,
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces(),
): Promise<string[]> {
  const asked = await Promise.all([
    server === null ? null : source(server, 4),
    server === null ? null : source(server, 6),
    source(FAR_AWAY[4], 4),
    source(FAR_AWAY[6], 6),
  ]);
  const onTheWay = asked.filter((address) => address !== null).filter(isReachable);
  const found = [...onTheWay, ...addressesOf(interfaces)].filter((each) => !isLinkLocal(each));
  // Mostly a BMC's. An agent that announces one dials others, too (peer-address.ts): only where nothing else is.
  const addresses = found.length > 0 ? found : onTheWay;
  return [...new Set(addresses)].slice(0, MAX_ADDRESSES);
}

/** An IPv6 link-local address is useless without the name of the interface, which differs between machines. */
function isReachable(address: string): boolean {
  return !isLoopback(address) && !/^fe[89ab]/i.test(address);
}

function isLinkLocal(address: string): boolean {
  return address.startsWith("169.254.");
}

/** Of each interface that is not virtual its first IPv4 and IPv6 address. */
function addressesOf(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string[] {
  return Object.entries(interfaces).flatMap(([name, list = []]) => {
    if (VIRTUAL.test(name)) return [];
    const outer = list.filter(({ internal, address }) => !internal && isReachable(address));
    const first = (family: string) => outer.find((each) => each.family === family)?.address ?? [];
    return [first("IPv4"), first("IPv6")].flat();
  });
}

/** Asks the system by a connected UDP socket, which sends nothing. */
const sourceTowards: SourceTowards = async (host, family) => {
  const { createSocket } = await import("node:dgram");
  return new Promise((resolve) => {
    const socket = createSocket(`udp${family}`);
    const done = (address: string | null): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      // Stays: what fails later has nobody waiting for it.
      socket.on("error", () => {});
      socket.close();
      resolve(address);
    };
    const timer = setTimeout(done, SOURCE_WITHIN_MS, null);
    socket.once("error", () => done(null));
    socket.once("connect", () => done(socket.address().address));
    socket.connect(ANY_PORT, host);
  });
};
