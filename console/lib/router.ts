/** Addresses of the console: a path, and the query that holds a page's filters. Links are links: the browser's own. */
import { useEffect, useState } from "preact/hooks";

/** Where the console lives. */
export const BASE = "/console";

export interface Place {
  /** Below the console's address: `/jobs/7554621440`. */
  path: string;
  query: URLSearchParams;
}

const listeners = new Set<() => void>();

function here(): Place {
  const path = location.pathname.slice(BASE.length).replace(/\/+$/, "");
  return { path: path === "" ? "/" : path, query: new URLSearchParams(location.search) };
}

/** The address of a page of the console. */
export function addressOf(path: string, query: URLSearchParams = new URLSearchParams()): string {
  const text = query.toString();
  return `${BASE}${path === "/" ? "" : path}${text === "" ? "" : `?${text}`}`;
}

/** Goes to a page; with `replace` in the place of the current one, which the back button then skips. */
export function go(address: string, { replace = false }: { replace?: boolean } = {}): void {
  const isSame = address === location.pathname + location.search;
  if (replace || isSame) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  if (!replace && !isSame) scrollTo(0, 0);
  for (const listener of listeners) listener();
}

/** The current place; renders again when it changes. */
export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const listener = () => setPlace(here());
    listeners.add(listener);
    addEventListener("popstate", listener);
    return () => {
      listeners.delete(listener);
      removeEventListener("popstate", listener);
    };
  }, []);
  return place;
}

/** Lets plain clicks on links to the console stay in the page. */
export function followLinks(): void {
  document.addEventListener("click", (event) => {
    const isPlain =
      event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!isPlain || event.defaultPrevented || link === null) return;
    const isOurs = link.origin === location.origin && isBelow(link.pathname);
    if (!isOurs || link.target !== "" || link.hasAttribute("download") || link.hash !== "") return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}

function isBelow(path: string): boolean {
  return path === BASE || path.startsWith(`${BASE}/`);
}
