/** A job as its pages show it: for its owner, or by a link for whoever has it. */
import type { Schemas } from "../../lib/schemas.ts";

export type JobView = Omit<Schemas["JobDetail"], "token">;
export type Task = Schemas["Task"];
export type NodeVerdict = Schemas["PerformanceNode"];
