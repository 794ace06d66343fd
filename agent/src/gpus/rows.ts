/** Reads what nvidia-smi prints: rows by their shape, since messages come before, between and after them. Pure. */
import { clip } from "../log.ts";

/** The columns asked for; older drivers know no MIG. */
export const COLUMNS = "name,driver_version,memory.total,uuid";
export const COLUMNS_WITH_MIG = `${COLUMNS},mig.mode.current`;

const MAX_MODEL = 128;
const MAX_MESSAGE = 200;
const MAX_MESSAGES = 8;
/** No GPU has as much; a sick one reports 2^32 - 1. */
const MAX_MEMORY_MIB = 16 * 1024 * 1024;

export interface Gpu {
  /** As the driver names it; of a MIG slice with its profile, such as `NVIDIA A100-SXM4-40GB MIG 1g.5gb`. */
  model: string;
  uuid: string | null;
  driverVersion: string | null;
  memoryMib: number | null;
}

export interface Row extends Gpu {
  /** Divided into slices: it computes only through them. */
  isMig: boolean;
}

export interface Printed {
  rows: Row[];
  /** GPUs that the machine has and that do not answer: PCI addresses, or what nvidia-smi says of them. */
  lost: string[];
  /** Everything else that was printed: cleaned, bounded. */
  messages: string[];
}

/** A value that nvidia-smi does not have: `[N/A]`, `[Not Supported]`, `[GPU is lost]`, `[Unknown Error]`. */
const ABSENT = /^(?:\[.*\]|N\/A)$/;
const DRIVER = /^\d+(?:\.\d+){1,3}$/;
const MEMORY = /^\d+$/;
const UUID = /^GPU-[0-9a-fA-F-]{4,64}$/;
const MIG = /^(?:Enabled|Disabled)$/;
const LOST =
  /\b(?:GPU|device)\b.*\bis lost\b|fallen off the bus|unable to determine the device handle|\bGPU\b.*\brequires? (?:a )?reset\b/i;
const PCI_ADDRESS = /\b[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]\b/i;

/** Takes the rows out of the tool's output. */
export function readRows(stdout: string, stderr: string): Printed {
  const rows: Row[] = [];
  const messages: string[] = [];
  const named = new Set<string>();
  let unnamed = 0;
  let lostRows = 0;
  for (const raw of `${stdout}\n${stderr}`.split(/[\r\n]+/)) {
    const line = cleaned(raw);
    if (line === "") continue;
    const cells = line.split(",").map((cell) => cell.trim());
    if (!isRow(cells)) {
      if (messages.length < MAX_MESSAGES) messages.push(clip(line, MAX_MESSAGE));
      if (!LOST.test(line)) continue;
      const [address] = PCI_ADDRESS.exec(line) ?? [];
      if (address === undefined) unnamed++;
      else named.add(address);
    } else if (isAbsent(cells[0])) lostRows++;
    else rows.push(toRow(cells));
  }
  const lost = [...named, ...Array<string>(unnamed).fill("a GPU without an address")];
  // The same GPU may have a row and a message.
  while (lost.length < lostRows) lost.push("a GPU that does not answer");
  return { rows, lost, messages };
}

/**
 * A row has three to five cells, each of its column's form or absent, and something that no message has: a driver's
 * version, a memory size or a UUID; or it is the row of a lost GPU, in which all are absent.
 */
function isRow(cells: readonly string[]): boolean {
  const [model = "", ...rest] = cells;
  const forms = [DRIVER, MEMORY, UUID, MIG];
  if (rest.length < 2 || rest.length > forms.length) return false;
  if (!rest.every((cell, at) => isAbsent(cell) || forms[at]?.test(cell))) return false;
  return isAbsent(model) || (/\p{L}/u.test(model) && rest.some((cell) => !isAbsent(cell)));
}

function toRow([model = "", driver = "", memory = "", uuid = "", mig]: readonly string[]): Row {
  const mib = MEMORY.test(memory) ? Number(memory) : 0;
  return {
    model: clip(model, MAX_MODEL),
    uuid: UUID.test(uuid) ? uuid : null,
    driverVersion: DRIVER.test(driver) ? driver : null,
    memoryMib: mib > 0 && mib <= MAX_MEMORY_MIB ? mib : null,
    isMig: mig === "Enabled",
  };
}

function isAbsent(cell: string | undefined): boolean {
  return cell === undefined || cell === "" || ABSENT.test(cell);
}

/** Slices by the UUID of their GPU, from the output of `nvidia-smi -L`; a GPU without slices has an empty list. */
export function readSlices(stdout: string): Map<string, { profile: string; uuid: string }[]> {
  const slices = new Map<string, { profile: string; uuid: string }[]>();
  let own: { profile: string; uuid: string }[] | undefined;
  for (const raw of stdout.split(/[\r\n]+/)) {
    const line = cleaned(raw);
    const [, gpu] = /^GPU \d+: .*\(UUID: (GPU-[0-9a-fA-F-]{4,64})\)$/.exec(line) ?? [];
    if (gpu !== undefined) {
      own = [];
      slices.set(gpu, own);
    }
    const [, profile, uuid] =
      /^MIG ([0-9a-z.+_-]{2,40}) +Device +\d+: \(UUID: (MIG-[0-9a-zA-Z/-]{4,96})\)$/.exec(line) ??
      [];
    if (profile !== undefined && uuid !== undefined) own?.push({ profile, uuid });
  }
  return slices;
}

/** Memory by a profile's name: 5 GiB of `1g.5gb`. */
export function memoryOfProfile(profile: string): number | null {
  const [, gib] = /\.(\d{1,4})gb/.exec(profile) ?? [];
  return gib === undefined ? null : Number(gib) * 1024;
}

/** Control and format characters become spaces, since the text goes to logs, pages and reports. */
export function cleaned(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\s]+/gu, " ").trim();
}
