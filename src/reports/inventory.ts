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
}

/** A machine's inventory as dotted names and values, in the order the machine sent them. */
export function readInventory(text: string | null): InventoryView {
  const view: InventoryView = { agentVersion: null, values: [], omitted: 0 };
  if (text === null) return view;
  const inventory: Record<string, unknown> = JSON.parse(text);
  const { agent_version: agentVersion, ...rest } = inventory;
  if (typeof agentVersion === "string") view.agentVersion = cut(agentVersion);
  add({ view, left: MAX_CHARACTERS }, "", rest);
  return view;
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
