import { timingSafeEqual } from "node:crypto";
import type { Joiner } from "./life/access.ts";
import type { Node } from "./life/model.ts";

/** True if the caller is the agent that has the node already: by the runner's key, or the same secret or lack of one. */
export function isSameAgent(
  { access }: Node,
  { secretHash = null, isClaim = false }: Joiner,
): boolean {
  if (isClaim || access.isClaim) return isClaim;
  if (access.secretHash === null || secretHash === null) return access.secretHash === secretHash;
  const [known, sent] = [Buffer.from(access.secretHash), Buffer.from(secretHash)];
  return known.length === sent.length && timingSafeEqual(known, sent);
}
