/** The rate of the network card that others reach this machine by. */
import { existsSync } from "node:fs";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { join } from "node:path";
import { readText } from "../files.ts";

const MBIT_PER_GBIT = 1_000;

/**
 * What the driver says that the link has negotiated, Gbit/s; null for an interface without a device behind it, such as a
 * container's, for a virtual card that names no rate, and for an address of another machine.
 *
 * @param root of the file system; another one in tests
 */
export function cardGbps(
  address: string | null,
  root = "/",
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces(),
): number | null {
  const own = Object.entries(interfaces).find(([, list = []]) =>
    list.some((each) => !each.internal && each.address === address),
  );
  if (own === undefined) return null;
  const folder = join(root, "sys/class/net", own[0]);
  if (!existsSync(join(folder, "device"))) return null;
  const text = readText(join(folder, "speed"))?.trim() ?? "";
  return /^[1-9]\d*$/.test(text) ? Number(text) / MBIT_PER_GBIT : null;
}
