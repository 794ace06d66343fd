/** The form of people's keys, which published clients check before they send one. */
import { drawKey, RANDOM_LENGTH } from "../lib/keys.ts";

const PREFIX = "bencher_user_";

export const USER_KEY = /^bencher_user_[A-Za-z0-9]{30}$/;
export const USER_KEY_LENGTH = PREFIX.length + RANDOM_LENGTH;

export function drawUserKey(): string {
  return drawKey(PREFIX);
}
