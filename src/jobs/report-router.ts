import { ApiError, notFound } from "../http/errors.ts";
import { serve } from "../http/serve.ts";
import { siteOf } from "../http/site.ts";
import { scopeOf } from "../identity/actor.ts";
import type { ReportsService } from "../reports/service.ts";
import { generateReportRoute, makeReportRoute } from "./report-contract.ts";
import { findReportedJob } from "./store.ts";

/** Makes reports again, for the owners of jobs and for agents: one round trip, and those of `make`. */
export const jobReportRoutes = ({ reports }: { reports: ReportsService }) => [
  serve(makeReportRoute, async (c) => {
    const { job_id } = c.req.valid("param");
    const { paper } = c.req.valid("query");
    const { session: db } = c.get("databases");
    const job = await findReportedJob(db, scopeOf(c.get("actor")), job_id, paper);
    if (job === null) throw notFound("Job", job_id);
    const url = await reports.make({ db, meter: c.get("meter") }, job, siteOf(c));
    return c.json({ pdf_report_url: url }, 202);
  }),

  // Links to reports are not for the machines of the job.
  serve(generateReportRoute, async (c) => {
    const { jobId } = c.get("pass");
    const { job_id } = c.req.valid("param");
    if (job_id !== jobId) throw notFound("Job", job_id);
    const { primary: db } = c.get("databases");
    const job = await reports.jobOf(db, jobId);
    if (job === null) throw new ApiError("JOB_ENDED", "The job has ended", { directive: "stop" });
    await reports.make({ db, meter: c.get("meter") }, job, siteOf(c));
    return c.json({ pdf_report_url: null }, 202);
  }),
];
