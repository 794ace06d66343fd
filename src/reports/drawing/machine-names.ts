/** Short names that tell the machines of a job apart, also behind one address. */
import type { ReportNode } from "../report-data.ts";

/** Lengths at which a UUID is cut: after each of its groups but the last. */
const CUTS = [8, 13, 18, 23];
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
  const short = shortForm(nodes.map(({ machineUuid }) => machineUuid));
  for (const { rank, machineUuid } of nodes) {
    if (!names.has(rank)) names.set(rank, short(machineUuid));
  }
  return names;
}

/** As much of a UUID's beginning as tells it from the others; else its last group, else all of it. */
function shortForm(ids: readonly string[]): (id: string) => string {
  const last = (id: string) => `…${id.slice(id.lastIndexOf("-") + 1)}`;
  const forms = [...CUTS.map((cut) => (id: string) => id.slice(0, cut)), last];
  return forms.find((form) => new Set(ids.map(form)).size === ids.length) ?? ((id) => id);
}
