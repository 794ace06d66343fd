import { empty, writtenReply } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { serverSpecRoute } from "./document-contract.ts";

/** Only the path counts: static files have no host. */
const FILE = "https://assets.local/openapi.json";

/** The API document at the address of published clients: the static file. */
export const documentRoutes = ({ assets }: { assets: Fetcher }) => [
  serve(serverSpecRoute, async (c) => {
    const known = c.req.header("If-None-Match");
    const headers = known === undefined ? {} : { "If-None-Match": known };
    const file = await assets.fetch(FILE, { headers });
    c.header("ETag", file.headers.get("ETag") ?? undefined);
    if (file.status === 304) return empty(c, 304);
    if (file.status !== 200) {
      throw new Error(`The static file of the API document answered ${file.status}`);
    }
    // Read before the reply begins: a request whose body nobody has read would cut a stream off.
    const text = await file.text();
    return writtenReply(c.body(text, 200, { "Content-Type": "application/json" }));
  }),
];
