import type { Context } from "hono";
import type { RequestEnv } from "./context.ts";

export interface Page {
  page: number;
  perPage: number;
  total: number;
}

/** `X-Total-Count` and `Link` (RFC 8288: first, prev, next, last), which every list carries. */
export function announcePage<Env extends RequestEnv>(c: Context<Env>, page: Page): void {
  c.header("X-Total-Count", String(page.total));
  c.header("Link", linksOf(c.req.url, page));
}

/** Links to the neighbours of a page: the request's own address with another `page`. */
export function linksOf(requestUrl: string, { page, perPage, total }: Page): string {
  const lastPage = Math.max(1, Math.ceil(total / perPage));
  const targets: [relation: string, page: number][] = [["first", 1]];
  if (page > 1) targets.push(["prev", Math.min(page - 1, lastPage)]);
  if (page < lastPage) targets.push(["next", page + 1]);
  targets.push(["last", lastPage]);
  return targets
    .map(([relation, target]) => {
      const url = new URL(requestUrl);
      url.searchParams.set("page", String(target));
      return `<${url.href}>; rel="${relation}"`;
    })
    .join(", ");
}
