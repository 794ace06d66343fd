/** Interval at which npm is checked to be alive. */
const PARENT_CHECK_MS = 500;

/**
 * Aborts on Ctrl-C, on SIGTERM, and when the npm that started this script dies: npm does not pass every
 * signal on, and nothing may be left running.
 */
export function stopSignal(): { signal: AbortSignal; exitCode: () => number } {
  const controller = new AbortController();
  let code = 0;
  const stop = (exitCode: number) => {
    if (controller.signal.aborted) return;
    code = exitCode;
    controller.abort();
  };
  process.on("SIGINT", () => stop(130));
  process.on("SIGTERM", () => stop(143));
  process.on("SIGHUP", () => stop(129));
  if (process.env.npm_lifecycle_event !== undefined) {
    // npm itself: package.json starts scripts with `exec`, so that no shell stands between.
    const parent = process.ppid;
    setInterval(() => {
      if (process.ppid !== parent) stop(143);
    }, PARENT_CHECK_MS).unref();
  }
  return { signal: controller.signal, exitCode: () => code };
}
