/** Names of machines, as their inventories have them. */
import { isObject } from "./json.ts";
import { cutAt } from "./text.ts";

/** The longest name that Linux allows has 64 characters; those of other systems are cut. */
export const MAX_HOST_NAME = 255;

/** The host name in an inventory, which agents write: null for anything that is no name. */
export function hostNameOf(inventory: unknown): string | null {
  const sent = isObject(inventory) ? inventory.host_name : null;
  if (typeof sent !== "string") return null;
  const name = cutAt(
    sent
      .toWellFormed()
      .replaceAll(/[\p{Cc}\s]+/gu, " ")
      .normalize("NFC"),
    MAX_HOST_NAME,
  );
  return name.trim() || null;
}
