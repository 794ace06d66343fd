/** What is made of the checks of machines (`spec-check.ts`). Pure. */
import { SPEC_CHECK_STATUSES, type SpecCheckStatus } from "../lib/enums.ts";
import type { SpecCheck, SpecCheckField } from "../lib/stored-spec-check.ts";

/** The check with the figure of HostMark, which informs and never decides. */
export function withEffectiveCores(check: SpecCheck, cores: number): SpecCheck {
  const reason =
    "for information: two hardware threads share one SHA unit, so fewer cores than CPUs are normal";
  const found = String(Math.round(cores * 100) / 100);
  const field = { field: "effective_cores", promised: null, found, status: "unknown", reason };
  return { ...check, fields: [...check.fields, field as SpecCheckField] };
}

/**
 * The worst of a job's nodes; null while no node has been checked. A node without a check is unknown: nobody has seen
 * what it is.
 */
export function worstCheck(checks: readonly (SpecCheck | null)[]): SpecCheckStatus | null {
  if (checks.every((check) => check === null)) return null;
  const statuses = checks.map((check) => check?.status ?? "unknown");
  return SPEC_CHECK_STATUSES.find((status) => statuses.includes(status)) ?? null;
}
