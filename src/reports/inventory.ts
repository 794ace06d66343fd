import { isObject } from "../lib/json.ts";
import { cutAt } from "../lib/text.ts";
import type { ReportMachine } from "./report-data.ts";

/**
 * An inventory may have 64 KiB: a report shows this many values, each cut to this many characters, and no more than
 * these together.
 */
const MAX_VALUES = 200;
const MAX_VALUE_CHARACTERS = 400;
const MAX_CHARACTERS = 10_000;

export interface InventoryView {
  agentVersion: string | null;
  values: [name: string, value: string][];
  /** Number of values that are left out. */
  omitted: number;
  machine: ReportMachine;
}

/** A fact of the machine is cut to this many characters. */
const MAX_FACT = 80;

/** A machine that says nothing of itself. */
export const NOTHING: ReportMachine = {
  hostName: null,
  instanceId: null,
  system: null,
  board: null,
  bios: null,
  processor: null,
  kernel: null,
  surroundings: null,
  driver: null,
};

/** A machine's inventory as dotted names and values, in the order the machine sent them. */
export function readInventory(
  text: string | null,
  share: (text: string) => string = (text) => text,
): InventoryView {
  const view: InventoryView = { agentVersion: null, values: [], omitted: 0, machine: NOTHING };
  if (text === null) return view;
  const inventory: Record<string, unknown> = JSON.parse(text);
  const { agent_version: agentVersion, ...rest } = inventory;
  if (typeof agentVersion === "string") view.agentVersion = cut(agentVersion);
  view.machine = machineOf(inventory, share);
  add({ view, left: MAX_CHARACTERS }, "", rest);
  return view;
}

type Section = Readonly<Record<string, unknown>>;

/** @param inventory as the machine sent it: nothing in it is sure */
function machineOf(inventory: Section, share: (text: string) => string): ReportMachine {
  const section = (name: string): Section => {
    const value = inventory[name];
    return isObject(value) ? value : {};
  };
  const [cpu, gpu, kernel, system] = ["cpu", "gpu", "kernel", "system"].map(section);
  const joined = (...values: unknown[]) => {
    const texts = values.filter((each): each is string => typeof each === "string" && each !== "");
    return texts.length === 0 ? null : share(cutAt(texts.join(" "), MAX_FACT));
  };
  return {
    hostName: joined(inventory.host_name ?? inventory.hostname),
    instanceId: joined(system?.instance_id),
    system: joined(system?.vendor, system?.product),
    board: joined(system?.board_vendor, system?.board),
    bios: joined(system?.bios_version),
    processor: joined(cpu?.processor ?? cpu?.model),
    kernel: joined(kernel?.name, kernel?.release),
    surroundings: joined(inventory.container ?? inventory.virtual_machine),
    driver: joined(gpu?.driver_version),
  };
}

/** A view that is being filled. */
interface Filling {
  view: InventoryView;
  /** Characters that still fit. */
  left: number;
}

function add(filling: Filling, name: string, value: unknown): void {
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    // A list of plain values is one value.
    if (Array.isArray(value) && value.every((each) => typeof each !== "object")) {
      put(filling, name, value.length === 0 ? "–" : value.join(", "));
      return;
    }
    for (const [key, inner] of entries) add(filling, name === "" ? key : `${name}.${key}`, inner);
    return;
  }
  put(filling, name, value === null || value === "" ? "–" : String(value));
}

function put(filling: Filling, name: string, value: string): void {
  const { view } = filling;
  const shown: [string, string] = [cut(name), cut(value)];
  filling.left -= shown[0].length + shown[1].length;
  if (filling.left >= 0 && view.values.length < MAX_VALUES) view.values.push(shown);
  else view.omitted++;
}

function cut(text: string): string {
  if (text.length <= MAX_VALUE_CHARACTERS) return text;
  // Twice as many code units hold at least as many characters.
  const characters = [...text.slice(0, 2 * MAX_VALUE_CHARACTERS)];
  return characters.length <= MAX_VALUE_CHARACTERS && text.length <= 2 * MAX_VALUE_CHARACTERS
    ? text
    : `${characters.slice(0, MAX_VALUE_CHARACTERS - 1).join("")}…`;
}
