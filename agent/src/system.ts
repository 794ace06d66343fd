import { join } from "node:path";
import { readText } from "./files.ts";
import { clip } from "./log.ts";
import { isRecord } from "./protocol.ts";

/** What firmware says where nobody has filled it in. */
const PLACEHOLDER =
  /^(|none|default string|not (specified|applicable|available)|to be filled.*|system .*)$/i;
const MAX_CHARACTERS = 100;

/**
 * Board and instance, for the inventory: they describe a machine, and never identify it. Only what every user may read.
 *
 * @param root of the file system; another one in tests
 */
export function readSystem(root = "/"): Record<string, string> {
  const dmi = (name: string) => readText(join(root, "sys/class/dmi/id", name));
  const cloud = readCloud(root);
  const tag = dmi("board_asset_tag");
  const facts: Record<string, unknown> = {
    vendor: dmi("sys_vendor"),
    product: dmi("product_name"),
    board_vendor: dmi("board_vendor"),
    board: dmi("board_name"),
    bios_version: dmi("bios_version"),
    cloud: cloud.cloud_name,
    // Amazon's machines have it where others have an inventory number.
    instance_id: cloud.instance_id ?? (/^i-[0-9a-f]+$/.test(tag?.trim() ?? "") ? tag : undefined),
    region: cloud.region,
    zone: cloud.availability_zone,
  };
  return Object.fromEntries(
    Object.entries(facts).flatMap(([name, value]) => {
      const text = typeof value === "string" ? value.trim() : "";
      return PLACEHOLDER.test(text) ? [] : [[name, clip(text, MAX_CHARACTERS)]];
    }),
  );
}

/** What cloud-init has found out about the instance, in the form that all clouds share. */
function readCloud(root: string): Record<string, unknown> {
  try {
    const data: unknown = JSON.parse(
      readText(join(root, "run/cloud-init/instance-data.json")) ?? "",
    );
    return isRecord(data) && isRecord(data.v1) ? data.v1 : {};
  } catch {
    return {};
  }
}
