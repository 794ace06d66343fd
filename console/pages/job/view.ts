/** A job as its pages show it: for its owner, or by a link for whoever has it. */
import type { Schemas } from "../../lib/schemas.ts";

type JobDetail = Schemas["JobDetail"];
type OfOwners = "token" | "join_command" | "order" | "pdf_report_url" | "report_error";

/** What a link does not show is absent. */
export type Task = Omit<Schemas["Task"], "machine_ip" | "pdf_report_url" | "report_error"> & {
  report_error?: string | null;
};
export type JobView = Omit<JobDetail, OfOwners | "tasks"> & {
  report_error?: string | null;
  tasks: readonly Task[];
};
export type NodeVerdict = Schemas["PerformanceNode"];
