/** Short names that tell the machines of a job apart, also behind one address. */
import type { ReportNode } from "../report-data.ts";

/** Lengths at which a UUID is cut: after each of its groups. */
const CUTS = [8, 13, 18, 23, 36];
/** The first of the kinds that tells a machine from all others names it. */
const KINDS: readonly ((node: ReportNode) => string | null)[] = [
  ({ machine }) => machine.hostName,
  ({ machine }) => machine.instanceId,
  ({ machineIp }) => machineIp,
];

/** By rank. */
export function machineNames(nodes: readonly ReportNode[]): Map<number, string> {
  const names = new Map<number, string>();
  for (const kind of KINDS) {
    const counts = new Map<string, number>();
    for (const node of nodes) {
      const name = kind(node);
      if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const node of nodes) {
      const name = kind(node);
      if (name !== null && counts.get(name) === 1 && !names.has(node.rank)) {
        names.set(node.rank, name);
      }
    }
  }
  const ids = nodes.map(({ machineUuid }) => machineUuid);
  const length = CUTS.find((cut) => new Set(ids.map((id) => id.slice(0, cut))).size === ids.length);
  for (const { rank, machineUuid } of nodes) {
    if (!names.has(rank)) names.set(rank, machineUuid.slice(0, length));
  }
  return names;
}
