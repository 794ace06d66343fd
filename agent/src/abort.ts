/**
 * A controller that aborts with `parent` and can also be aborted alone. Stands in for
 * `AbortSignal.any`, which Node has only since 20.3. Call `release` when done: `parent` may live for
 * the whole job and would otherwise collect a listener per request.
 */
export function childController(parent: AbortSignal): {
  controller: AbortController;
  release: () => void;
} {
  const controller = new AbortController();
  const follow = (): void => controller.abort(parent.reason);
  if (parent.aborted) follow();
  else parent.addEventListener("abort", follow, { once: true });
  return { controller, release: () => parent.removeEventListener("abort", follow) };
}
