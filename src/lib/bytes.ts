export const KIB = 1_024;
export const MIB = 1_024 * KIB;

/** Gives bytes back at once: what waits for the garbage collector takes as much of the isolate as what is in use. */
export function free({ buffer }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
