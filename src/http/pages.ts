import { preferredType } from "./accept.ts";
import type { RequestContext } from "./context.ts";

/** The pages that the Worker carries: static files, of which most are served without it. */
export interface Pages {
  fetch(url: string): Promise<Response>;
}

/** True for browsers, which ask for HTML first; programs that take anything get JSON. */
export function prefersPage(c: RequestContext): boolean {
  const accept = c.req.header("Accept");
  return preferredType(accept, ["application/json", "text/html"]) === "text/html";
}

/**
 * Answers with a page of the Worker's own files.
 *
 * @param name such as `home`
 */
export async function sendPage(
  c: RequestContext,
  pages: Pages,
  name: string,
  status: 200 | 404,
): Promise<Response> {
  const page = await pages.fetch(new URL(`/${name}`, c.req.url).href);
  c.set("pagePolicy", page.headers.get("Content-Security-Policy") ?? undefined);
  return c.html(await page.text(), status);
}
