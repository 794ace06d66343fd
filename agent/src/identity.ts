/** The identity by which the server knows a machine again. The same for every user of it, root or not. */
import { createHash, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeFolder, readText, stateFolderOf } from "./files.ts";

export interface Identity {
  uuid: string;
  /** `kept`: random, in the state folder. `random`: new with each start, since nothing can be kept. */
  source: "key" | "hardware" | "kept" | "random";
}

/** Of all UUIDs that this agent derives (RFC 9562 §5.5). */
const NAMESPACE = "5f0f7a3e-3a0c-4f7b-8c53-0d3a6b1e9d42";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Firmware and images give these to many machines; also all digits alike. */
const SHARED_IDS = [
  "03000200040005000006000700080009",
  "00020003000400050006000700080009",
  "030201000504070608090a0b0c0d0e0f",
  "000102030405060708090a0b0c0d0e0f",
];

/** What is set where a program runs in a container. */
const CONTAINER_VARIABLES = [
  "KUBERNETES_SERVICE_HOST",
  "APPTAINER_NAME",
  "SINGULARITY_NAME",
  "ENROOT_ROOTFS",
  "container",
];
const CONTAINER_FILES = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
const CONTAINER_GROUP = /docker|kubepods|containerd|libpod|\/lxc/;

/**
 * `ASSAY_MACHINE_KEY` if it is set; else, outside containers, the machine id and the permanent address of the first
 * physical interface; else a random UUID in the state folder; else a random one.
 *
 * @param root of the file system; another one in tests
 * @throws with a message for people
 */
export function readIdentity(env: Record<string, string | undefined>, root = "/"): Identity {
  const key = env.ASSAY_MACHINE_KEY?.trim() ?? "";
  if (key !== "") {
    if (/\$[({]/.test(key)) {
      throw new Error(
        `ASSAY_MACHINE_KEY is ${key}: a variable in it was not expanded, so all machines would have one identity`,
      );
    }
    return { uuid: uuidOf(`key:${key}`), source: "key" };
  }
  const facts = isContainer(env, root) ? [] : [readMachineId(root), readPermanentAddress(root)];
  if (facts.some((fact) => fact !== null)) {
    return {
      uuid: uuidOf(`machine:${facts.map((fact) => fact ?? "").join(":")}`),
      source: "hardware",
    };
  }
  return keptIdentity(join(stateFolderOf(env), "machine-uuid"));
}

/** Whether this process runs in a container, as far as it can tell. */
export function isContainer(env: Record<string, string | undefined>, root = "/"): boolean {
  return (
    CONTAINER_VARIABLES.some((name) => (env[name] ?? "") !== "") ||
    CONTAINER_FILES.some((file) => existsSync(join(root, file))) ||
    CONTAINER_GROUP.test(readText(join(root, "proc/1/cgroup")) ?? "")
  );
}

/** Null without a machine id, and for an id that many machines share. */
function readMachineId(root: string): string | null {
  const id = readText(join(root, "etc/machine-id"))?.trim().toLowerCase() ?? "";
  const isOwn = /^[0-9a-f]{32}$/.test(id) && new Set(id).size > 1 && !SHARED_IDS.includes(id);
  return isOwn ? id : null;
}

/**
 * The address that the first Ethernet card was made with, in the order of their places on the bus: names change, and an
 * adapter on USB comes and goes. Null without a card.
 */
function readPermanentAddress(root: string): string | null {
  const folder = join(root, "sys/class/net");
  const cards = namesIn(folder).flatMap((name) => {
    const at = join(folder, name);
    const address = addressOf(at);
    // Virtual interfaces have no device; virtual functions of a card get new addresses.
    if (address === null || existsSync(join(at, "device/physfn"))) return [];
    try {
      return [{ place: realpathSync(join(at, "device")), name, address }];
    } catch {
      return [];
    }
  });
  const rank = ({ place }: { place: string }) => (place.includes("/usb") ? 1 : 0);
  const [first] = cards.sort(
    (a, b) => rank(a) - rank(b) || compare(a.place, b.place) || compare(a.name, b.name),
  );
  return first?.address ?? null;
}

function addressOf(at: string): string | null {
  const read = (name: string) => readText(join(at, name))?.trim().toLowerCase() ?? "";
  if (read("type") !== "1") return null;
  // A bond gives its members one address; 0 is the permanent one.
  const address =
    read("bonding_slave/perm_hwaddr") || (read("addr_assign_type") === "0" ? read("address") : "");
  const isOwn = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(address) && new Set(address).size > 2;
  return isOwn ? address : null;
}

function keptIdentity(file: string): Identity {
  // Read first: the folder may be one that can only be read.
  if (!existsSync(file)) {
    const uuid = randomUUID();
    try {
      makeFolder(dirname(file));
      // wx: of two agents starting at once the first one's choice holds for both.
      writeFileSync(file, `${uuid}\n`, { flag: "wx", mode: 0o600 });
    } catch (error) {
      const isThere = error instanceof Error && "code" in error && error.code === "EEXIST";
      if (!isThere) return { uuid, source: "random" };
    }
  }
  const uuid = readFileSync(file, "utf8").trim().toLowerCase();
  if (!UUID.test(uuid))
    throw new Error(`${file} does not hold a UUID; remove it or pass --machine-uuid`);
  return { uuid, source: "kept" };
}

/** A UUID of version 5. */
function uuidOf(name: string): string {
  const hash = createHash("sha1").update(Buffer.from(NAMESPACE.replaceAll("-", ""), "hex"));
  const bytes = hash.update(name).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
