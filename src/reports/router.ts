import { notFound } from "../http/errors.ts";
import { single, writtenReply } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { getReportFileRoute, getReportRoute } from "./contract.ts";
import type { ReportLinks } from "./links.ts";
import { serveFile } from "./serve.ts";
import type { ReportsService } from "./service.ts";

interface ReportsRouterDeps {
  reports: ReportsService;
  links: ReportLinks;
  bucket: R2Bucket;
}

export const reportsRoutes = ({ reports, links, bucket }: ReportsRouterDeps) => [
  serve(getReportRoute, async (c) => {
    const report = await reports.find(c.get("databases").session, c.req.valid("param").hash);
    return single(c, report);
  }),

  serve(getReportFileRoute, async (c) => {
    const { id } = c.req.valid("param");
    // Every invalid link gets the same answer, before any lookup.
    if (!links.verify(id, c.req.valid("query"))) throw notFound("Report", id);
    // Read from the primary, so that links of a deleted job stop working at once.
    const db = c.get("databases").primary;
    return writtenReply(await serveFile(c, { db, bucket }, id));
  }),
];
