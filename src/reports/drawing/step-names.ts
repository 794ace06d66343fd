/** Names of a job's steps, instead of the keys that the API has for them. */
import { JOB_STATES } from "../../lib/enums.ts";
import type { ReportStep } from "../report-data.ts";
import { words } from "./writing.ts";

/** Which run of a repeated benchmark a key such as `cluster_network:2` is: " (run 2)"; else nothing. */
export function runOf(key: string): string {
  const [, run] = key.split(":");
  return run === undefined ? "" : ` (run ${run})`;
}

export function stepName({ key, name }: Pick<ReportStep, "key" | "name">): string {
  return `${name}${runOf(key)}`;
}

/** A message of the server or an agent with names for keys: "node 0 ended quick_mark" is "node 0 ended QuickMark". */
export function withStepNames(
  message: string,
  steps: readonly Pick<ReportStep, "key" | "name">[],
): string {
  // `cluster_network:2` before `cluster_network`.
  const longest = steps.toSorted((a, b) => b.key.length - a.key.length);
  const named = longest.reduce((text, step) => text.replaceAll(step.key, stepName(step)), message);
  return JOB_STATES.reduce((text, state) => text.replaceAll(state, words(state)), named);
}
