import type { Context } from "hono";
import type { RequestEnv } from "./context.ts";

export interface Page {
  page: number;
  perPage: number;
  total: number;
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

/** Links to the neighbours of a page: the list's own address with another `page`. */
function linksOf(list: URL, { page, perPage, total }: Page): string {
  const lastPage = Math.max(1, Math.ceil(total / perPage));
  const targets: [relation: string, page: number][] = [["first", 1]];
  if (page > 1) targets.push(["prev", Math.min(page - 1, lastPage)]);
  if (page < lastPage) targets.push(["next", page + 1]);
  targets.push(["last", lastPage]);
  return targets
    .map(([relation, target]) => {
      const url = new URL(list);
      url.searchParams.set("page", String(target));
      return `<${url.href}>; rel="${relation}"`;
    })
    .join(", ");
}
