import type { RequestContext } from "../http/context.ts";
import type { Pages } from "../http/pages.ts";
import { siteOf } from "../http/site.ts";

/** Stands between quotes in a shell script. */
const SAFE_ORIGIN = /^https?:\/\/[\w.:[\]-]+$/;

/** The script that installs the command line, with this server's address in it; without one where nobody knows it. */
export function installScript(pages: Pages) {
  return async (c: RequestContext): Promise<Response> => {
    const script = await pages.fetch(new URL("/cli.sh", c.req.url).href);
    const origin = siteOf(c) ?? "";
    const text = await script.text();
    c.header("Content-Type", "text/plain; charset=utf-8");
    c.header("Cache-Control", "no-cache");
    return c.body(text.replace("@ORIGIN@", () => (SAFE_ORIGIN.test(origin) ? origin : "")));
  };
}
