/** Which machines they were: names, boards, systems, and what they say of themselves. */
import {
  MAX_INVENTORIES,
  type ReportData,
  type ReportNode,
  type ReportStep,
} from "../../report-data.ts";
import type { Flow } from "../flow.ts";
import { withStepNames } from "../step-names.ts";
import { table } from "../table.ts";
import { SIZE, SOFT } from "../theme.ts";
import { count, label, ranks, time } from "../writing.ts";

/** Printed characters of one inventory: about two pages. */
const MAX_INVENTORY_CHARACTERS = 8_000;

export function machines(flow: Flow, { job, nodes }: ReportData): void {
  if (nodes.length === 0) return;
  flow.heading("Machines", 50, "As reported by the machines when they joined, unverified.");
  table(
    flow,
    [
      { title: "Node", width: 22 },
      { title: "Host, instance", width: 66 },
      { title: "Machine UUID, address", width: 148 },
      { title: "Board, BIOS", width: 78 },
      { title: "Kernel, container", width: 77 },
      { title: "Driver, agent", width: 48 },
      { title: "Joined", width: 66 },
    ],
    nodes.map(rowOf),
    { dense: nodes.length > 40 },
  );
  remarks(flow, nodes, job.steps);
  if (nodes.length <= MAX_INVENTORIES) inventory(flow, nodes);
  else {
    const style = { size: SIZE.small, colour: SOFT };
    flow.paragraph("The inventory of each node is in the node's own report.", style);
  }
}

/** The reasons of nodes that failed. Agents send whole paragraphs, so they have the width of the page. */
function remarks(flow: Flow, nodes: readonly ReportNode[], steps: readonly ReportStep[]): void {
  const failed = Map.groupBy(
    nodes.filter(({ failedMessage }) => failedMessage !== null && failedMessage !== ""),
    ({ failedMessage }) => withStepNames(failedMessage ?? "", steps),
  );
  if (failed.size === 0) return;
  flow.subheading("Remarks", 30);
  table(
    flow,
    [
      { title: "Node", width: 80 },
      { title: "Remark", width: 425 },
    ],
    [...failed].map(([reason, list]) => [ranks(list.map(({ rank }) => rank)), reason]),
    { dense: failed.size > 40 },
  );
}

function rowOf(node: ReportNode): string[] {
  const { machine } = node;
  return [
    String(node.rank),
    lines(machine.hostName, machine.instanceId),
    lines(node.machineUuid, node.machineIp),
    lines(machine.board ?? machine.system, machine.bios && `BIOS ${machine.bios}`),
    lines(machine.kernel, machine.surroundings),
    lines(machine.driver, node.agentVersion && `agent ${node.agentVersion}`),
    time(node.joinedAt),
  ];
}

function lines(...values: (string | null)[]): string {
  const known = values.filter((value) => value !== null && value !== "");
  return known.length === 0 ? "–" : known.join("\n");
}

/** Machines with the same inventory share a table. */
function inventory(flow: Flow, nodes: ReportData["nodes"]): void {
  const alike = Map.groupBy(
    nodes.filter((node) => node.inventory.length > 0),
    (node) => JSON.stringify([node.inventory, node.omittedInventory]),
  );
  if (alike.size === 0) return;
  for (const list of alike.values()) {
    const [first] = list;
    if (first === undefined) continue;
    const which = list.length === 1 ? "Inventory of node" : "Inventory of nodes";
    flow.subheading(`${which} ${ranks(list.map(({ rank }) => rank))}`, 30);
    // Two columns of names and values.
    const half = Math.ceil(first.inventory.length / 2);
    const pair = (at: number) => {
      const [name, value = ""] = first.inventory[at] ?? [];
      return [{ text: name === undefined ? "" : label(name), colour: SOFT }, value];
    };
    const rows = Array.from({ length: half }, (_, at) => [...pair(at), ...pair(at + half)]);
    const isWide = half < first.inventory.length;
    table(
      flow,
      [
        { title: "Name", width: 104 },
        { title: "Value", width: 148 },
        { title: isWide ? "Name" : "", width: 104 },
        { title: isWide ? "Value" : "", width: 149 },
      ],
      rows,
      { dense: true, maxCharacters: MAX_INVENTORY_CHARACTERS },
    );
    if (first.omittedInventory > 0) {
      flow.paragraph(`and ${count(first.omittedInventory, "more value")}, not shown`, {
        size: SIZE.small,
        colour: SOFT,
      });
    }
  }
}
