import { OpenAPIHono } from "@hono/zod-openapi";
import { readPage } from "../../http/keyset-page.ts";
import { announcePage } from "../../http/paging.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import type { Guards, UserEnv } from "../guards.ts";
import { listAuditEventsRoute } from "./contract.ts";
import { listAuditEvents, newestFirst } from "./store.ts";
import { toAuditEvent } from "./wire.ts";

const LIST_PARAMETERS = Object.keys(listAuditEventsRoute.request.query.shape);

export function createAuditRouter({ guards }: { guards: Guards }) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listAuditEventsRoute, middleware: guards.manager }, async (c) => {
    const query = c.req.valid("query");
    const { role, customerId } = c.get("actor");
    const { session } = c.get("databases");
    const seen = role === "root_admin" ? null : customerId;
    const { items, total, neighbours } = await readPage(query, newestFirst, (window) =>
      listAuditEvents(session, seen, query, window),
    );
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(items.map(toAuditEvent), 200);
  });

  return router;
}
