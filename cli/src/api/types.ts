/** Names for the parts of the API's published types (`/client.d.ts`) that this program shows. */
import type { components, operations, paths } from "../../../public/client.d.ts";

export type { operations, paths };

type Schemas = components["schemas"];
export type Job = Schemas["Job"];
export type JobDetail = Schemas["JobDetail"];
export type CreateJob = Schemas["CreateJob"];
export type CreatedJob = Schemas["CreatedJob"];
export type Task = JobDetail["tasks"][number];
export type TaskPage = Schemas["TaskPage"];
export type ListedTask = Schemas["ListedTask"];
export type TaskWithResults = Schemas["TaskWithResults"];
export type NodeVerdict = NonNullable<JobDetail["scoreboard_summary"]>["nodes"][number];
export type MetricVerdict = NodeVerdict["metrics"][number];
export type Finding = NodeVerdict["findings"][number];
export type BenchmarkResult = Schemas["BenchmarkResult"];
export type Machine = Schemas["Machine"];
export type MachineHistory = Schemas["MachineHistory"];
export type Comparison = Schemas["Comparison"];
export type Spec = Schemas["Spec"];
export type Runner = Schemas["Runner"];
export type User = Schemas["User"];
export type Customer = Schemas["Customer"];
export type ApiToken = Schemas["ApiToken"];
export type UserKey = Schemas["UserKey"];
export type AuditEvent = Schemas["AuditEvent"];
export type Baseline = Schemas["Baseline"];
export type TokenReply = Schemas["Token"];

/** The query of an operation. */
export type QueryParameters<Operation extends keyof operations> = NonNullable<
  operations[Operation]["parameters"]["query"]
>;
