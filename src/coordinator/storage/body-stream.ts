import { isClusterStep } from "../../benchmarks/sequence.ts";
import { INVENTORY, type SequenceStep } from "../../lib/stored-json.ts";
import type { CoordinatorStorage, StoredBody } from "./storage.ts";

/**
 * The bytes of stored bodies, one after the other. Each is read when the reader wants it, so that one body is held
 * at a time. Fails if a body has changed since its size was read, which only an inventory can.
 */
export function streamBodies(
  storage: CoordinatorStorage,
  bodies: readonly StoredBody[],
): ReadableStream<Uint8Array> {
  let next = 0;
  // Only streams of bytes cross the RPC.
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      const body = bodies[next++];
      if (body === undefined) {
        controller.close();
        controller.byobRequest?.respond(0);
        return;
      }
      const bytes = storage.body(body);
      if (bytes?.length !== body.bytes) {
        throw new Error(`Body ${body.position} of node ${body.rank} changed while it was sent`);
      }
      controller.enqueue(bytes);
    },
  });
}

/** The results among a job's bodies: all by rank and position, or those of cluster steps by position and rank. */
export function resultsOf(
  bodies: readonly StoredBody[],
  sequence: readonly SequenceStep[],
  part: "results" | "cluster",
): StoredBody[] {
  if (part === "results") return bodies.filter(({ position }) => position !== INVENTORY);
  const isCluster = ({ position }: StoredBody) => {
    const step = sequence[position];
    return step !== undefined && isClusterStep(step);
  };
  return bodies.filter(isCluster).sort((a, b) => a.position - b.position || a.rank - b.rank);
}
