/** Factor on every test time-out; set it above 1 on a busy or slow machine. */
export const PATIENCE = Number(process.env.ASSAY_TEST_PATIENCE ?? 1);

if (!(PATIENCE >= 1)) throw new Error("ASSAY_TEST_PATIENCE must be a number of at least 1");

/** A test time-out in ms, scaled. Every time-out goes through here, so that one factor raises them all. */
export function patient(timeoutMs: number): number {
  return timeoutMs * PATIENCE;
}
