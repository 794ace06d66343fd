/** An inventory may have 64 KiB: a report shows this many values, each of at most so many characters. */
const MAX_VALUES = 200;
const MAX_CHARACTERS = 400;

export interface InventoryView {
  agentVersion: string | null;
  values: [name: string, value: string][];
  /** Values beyond the most that are shown. */
  omitted: number;
}

/** What a machine said of itself, as dotted names and values in the order they came. */
export function readInventory(text: string | null): InventoryView {
  const view: InventoryView = { agentVersion: null, values: [], omitted: 0 };
  if (text === null) return view;
  const inventory: Record<string, unknown> = JSON.parse(text);
  const { agent_version: agentVersion, ...rest } = inventory;
  if (typeof agentVersion === "string") view.agentVersion = cut(agentVersion);
  add(view, "", rest);
  return view;
}

function add(view: InventoryView, name: string, value: unknown): void {
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    // A list of plain values is one value.
    if (Array.isArray(value) && value.every((each) => typeof each !== "object")) {
      put(view, name, value.length === 0 ? "–" : value.join(", "));
      return;
    }
    for (const [key, inner] of entries) add(view, name === "" ? key : `${name}.${key}`, inner);
    return;
  }
  put(view, name, value === null || value === "" ? "–" : String(value));
}

function put(view: InventoryView, name: string, value: string): void {
  if (view.values.length < MAX_VALUES) view.values.push([cut(name), cut(value)]);
  else view.omitted++;
}

function cut(text: string): string {
  const signs = [...text];
  return signs.length <= MAX_CHARACTERS ? text : `${signs.slice(0, MAX_CHARACTERS - 1).join("")}…`;
}
