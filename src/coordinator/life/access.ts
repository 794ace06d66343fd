/** Decides which calls speak for a node: those of the agent that joined, by its task's token. Pure. */
import type { Node, NodeAccess } from "./model.ts";

/** The caller of a join, as its Worker has found it. */
export interface Joiner {
  /** SHA-256 of the agent's join secret, base64url; null without one. */
  secretHash?: string | null;
  /** A runner that claims: its key was checked, and its machine is the runner itself. */
  isClaim?: boolean;
}

/** The access of a node that joins now. */
export function accessOf({ secretHash = null, isClaim = false }: Joiner, epoch = 0): NodeAccess {
  return { secretHash: isClaim ? null : secretHash, isClaim, epoch };
}

/** True if the calls of a node need its token. Agents that joined without a secret know of none. */
export function needsToken({ access }: Node): boolean {
  return access.isClaim || access.secretHash !== null;
}

/**
 * True if a call speaks for the node. A token that is sent must be right, even where none is needed: it may be
 * that of an earlier agent.
 *
 * @param epoch of the sent token, -1 for the token of another task; null without one
 */
export function speaksFor(node: Node, epoch: number | null): boolean {
  return epoch === null ? !needsToken(node) : epoch === node.access.epoch;
}
