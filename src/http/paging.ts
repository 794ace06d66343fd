import type { Context } from "hono";
import type { RequestEnv } from "./context.ts";

/** The highest number of a page. */
export const MAX_PAGE = 2 ** 31 - 1;

export interface Page {
  page: number;
  perPage: number;
  total: number;
  /** Of lists that hand out cursors: what leads to the neighbouring pages. */
  neighbours?: Neighbours;
}

/** Cursors of the pages around one, as clients carry them; null where nothing is known to follow. */
export interface Neighbours {
  prev: string | null;
  next: string | null;
}

/**
 * `X-Total-Count` and `Link` (RFC 8288: first, prev, next, last), which every list carries.
 *
 * @param known the list's own parameters: what else a client sends, however long, is not sent back
 */
export function announcePage<Env extends RequestEnv>(
  c: Context<Env>,
  page: Page,
  known: readonly string[],
): void {
  const url = new URL(c.req.url);
  for (const name of [...url.searchParams.keys()]) {
    if (!known.includes(name)) url.searchParams.delete(name);
  }
  c.header("X-Total-Count", String(page.total));
  c.header("Link", linksOf(url, page));
}

/** Node reads 16 KiB of headers: with filters so long that four links come near it, two must do. */
const MAX_LINK_LENGTH = 12_000;

/** Links to the neighbours of a page: the list's own address with another `page` and `cursor`. */
function linksOf(list: URL, { page, perPage, total, neighbours }: Page): string {
  const lastPage = Math.max(1, Math.ceil(total / perPage));
  const { prev, next } = neighbours ?? { prev: null, next: null };
  // A cursor knows better than the total, which others may have changed on the way.
  const hasNext = neighbours === undefined ? page < lastPage : next !== null;
  const targets: [relation: string, page: number, cursor: string | null][] = [["first", 1, null]];
  if (page > 1)
    targets.push(["prev", prev === null ? Math.min(page - 1, lastPage) : page - 1, prev]);
  if (hasNext) targets.push(["next", Math.min(page + 1, MAX_PAGE), next]);
  targets.push(["last", lastPage, null]);
  const links = targets.map(([relation, target, cursor]) => {
    const url = new URL(list);
    url.searchParams.set("page", String(target));
    if (cursor === null) url.searchParams.delete("cursor");
    else url.searchParams.set("cursor", cursor);
    return `<${url.href}>; rel="${relation}"`;
  });
  const all = links.join(", ");
  return all.length <= MAX_LINK_LENGTH ? all : links.slice(1, -1).join(", ");
}
