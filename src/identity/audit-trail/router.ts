import { readPage } from "../../http/paging.ts";
import { list } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { listAuditEventsRoute } from "./contract.ts";
import { listAuditEvents, newestFirst } from "./store.ts";
import { toAuditEvent } from "./wire.ts";

export const auditRoutes = () => [
  serve(listAuditEventsRoute, async (c) => {
    const query = c.req.valid("query");
    const { role, customerId } = c.get("actor");
    const { session } = c.get("databases");
    const onlyCustomer = role === "root_admin" ? null : customerId;
    const page = await readPage(query, newestFirst, (window) =>
      listAuditEvents(session, onlyCustomer, query, window),
    );
    return list(c, page, page.items.map(toAuditEvent));
  }),
];
