import { whole } from "../api/client.ts";
import type { AuditEvent } from "../api/types.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, pageOf, queryFor } from "./list.ts";
import type { AnyCommand, Open } from "./open.ts";
import { MOST_NAMED } from "./spec.ts";

const nameOf = (one: { kind: string; id: string | null } | null) =>
  one === null ? null : [one.kind, one.id].filter((part) => part !== null).join(" ");

/** `assay audit` is a list itself: the log has no other verb. */
export function auditCommand(open: Open): AnyCommand {
  return listVerb(
    open,
    {
      summary: "Show the audit log, newest first (root administrators)",
      examples: ["assay audit", "assay audit --action user_updated --all --json"],
      filters: {
        action: "text",
        actor: "text",
        subject: "text",
      } satisfies Filters<"listAuditEvents">,
      mostPerPage: MOST_NAMED,
      columns: [
        { title: "Time", of: (event: AuditEvent) => showTime(event.at) },
        { title: "Action", of: (event) => event.action },
        { title: "By", of: (event) => nameOf(event.actor) },
        { title: "On", of: (event) => nameOf(event.subject) },
        { title: "Address", of: (event) => event.address },
        { title: "Request", of: (event) => event.request_id },
      ],
      read: async (api, query) =>
        pageOf(
          await whole(
            api.GET("/v0/audit", { params: { query: queryFor<"listAuditEvents">(query) } }),
          ),
        ),
    },
    "audit",
  );
}
