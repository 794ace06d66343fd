/** Renews a page that stayed open while the server was updated: the parts that it has not loaded yet are gone. */
import { BASE } from "./router.ts";

const RELOADED = "assay.reloaded";
/** Versions that take turns, as while one is rolled out, must not reload a page again and again. */
const PAUSE_MS = 60_000;
const TIMEOUT_MS = 10_000;

/** `outdated`: the server has another version, and the page was reloaded a moment ago. `current`: it has this one. */
export type Version = "reloading" | "outdated" | "current" | "unreachable";

/** Reloads the page, once, if the server has another version. The address restores all of the page. */
export async function renewPage(): Promise<Version> {
  const isCurrent = await hasThisVersion();
  if (isCurrent === null) return "unreachable";
  if (isCurrent) return "current";
  const last = Number(sessionStorage.getItem(RELOADED));
  if (Date.now() - last < PAUSE_MS) return "outdated";
  sessionStorage.setItem(RELOADED, String(Date.now()));
  location.reload();
  return "reloading";
}

/** Null without an answer. */
async function hasThisVersion(): Promise<boolean | null> {
  const script = document.querySelector<HTMLScriptElement>('script[type="module"]');
  if (script === null) return true;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const reply = await fetch(BASE, { cache: "no-store", signal });
    if (!reply.ok) return null;
    return (await reply.text()).includes(new URL(script.src).pathname);
  } catch {
    return null;
  }
}
