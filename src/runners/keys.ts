/** Keys of runners. Published runners accept only keys with their own prefix; older keys have the other one. */
import { drawKey, RANDOM_LENGTH } from "../lib/keys.ts";

const PREFIX = "bencher_runner_";

export const KEY_LENGTH = PREFIX.length + RANDOM_LENGTH;
export const KEY_PATTERN = /^(?:bencher|assay)_runner_[A-Za-z0-9]{30}$/;
/** Of the keys that are made now. */
export const NEW_KEY_PATTERN = /^bencher_runner_[A-Za-z0-9]{30}$/;

export function drawRunnerKey(): string {
  return drawKey(PREFIX);
}
