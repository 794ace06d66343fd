import { codePoints } from "../../api/schemas.ts";
import { MAX_ACTIVITY, MAX_SHOWN_MESSAGE } from "../../coordinator/wire/task.ts";
import { type Piece, rawList } from "../../http/raw-json.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { cutAt } from "../../lib/text.ts";
import { jobDescription, jobName, jobProvider, jobRegion } from "../create-schema.ts";
import { MAX_IMPLAUSIBLE_FIELD, MAX_IMPLAUSIBLE_REASON } from "../result-schemas.ts";
import { type JobView, toJobFacts, toJobResults, toTaskDetail } from "../wire.ts";
import { redactAddresses, redactJson } from "./redact.ts";
import type { SharedJobWire, ShareWire } from "./schemas.ts";
import type { ShareRow } from "./store.ts";

export function toShare(row: ShareRow): ShareWire {
  return {
    uuid: row.uuid,
    job_id: String(row.jobId),
    created_by: row.createdBy,
    created_at: toTimestamp(row.createdAt),
    expires_at: toTimestamp(row.expiresAt),
  };
}

/** The link for people. The token is in its fragment, which browsers send to no server. */
export function shareUrl(site: string | null, token: string): string {
  return `${site ?? ""}/console/shared#${token}`;
}

/** A report names people and addresses: a shared job links none. */
const NO_LINK = () => null;

/** @param max characters, as its field allows */
function redacted(text: string, max: number): string {
  const shown = redactAddresses(text);
  return codePoints(shown) > max ? cutAt(shown, max).trimEnd() : shown;
}

const redactedOrNull = (text: string | null, max: number) =>
  text === null ? null : redacted(text, max);

/** The job as a link shows it: its schema leaves no field for people, tokens and the order. */
export function toSharedJob(view: JobView, until: number): SharedJobWire {
  const {
    token: _token,
    order: _order,
    pdf_report_url: _url,
    report_error: _error,
    ...facts
  } = toJobFacts(view, "", NO_LINK);
  const tasks = view.tasks.map((task) => {
    const stored = view.bodies.extents[task.rank] ?? [];
    // Each result is in memory while it is redacted.
    const bodies = Array.from(stored, ([position, extent]): [number, Piece] => [
      position,
      { ...extent, show: redactJson },
    ]);
    const {
      machine_ip: _ip,
      pdf_report_url: _report,
      report_error: _why,
      ...shown
    } = toTaskDetail(view, task, new Map(bodies), NO_LINK);
    return {
      ...shown,
      failed_message: redactedOrNull(shown.failed_message, MAX_SHOWN_MESSAGE),
      message: redactedOrNull(shown.message, MAX_ACTIVITY),
      benchmark_results: withoutAddresses(shown.benchmark_results),
    };
  });
  return {
    ...facts,
    name: redacted(facts.name, jobName.max),
    description: redactedOrNull(facts.description, jobDescription.max),
    // What stands for an address is no tag.
    tags: facts.tags.filter((tag) => redactAddresses(tag) === tag),
    provider: redactedOrNull(facts.provider, jobProvider.max),
    region: redactedOrNull(facts.region, jobRegion.max),
    tasks: rawList(tasks),
    benchmark_results: withoutAddresses(facts.benchmark_results),
    events: facts.events.map((event) => ({ ...event, message: redactAddresses(event.message) })),
    shared_until: toTimestamp(until),
  };
}

/** The cluster-level results of the job as a link shows them, with all measurements. */
export function toSharedResults(view: JobView, options: { displayNames: boolean }) {
  return withoutAddresses(toJobResults(view, { ...options, read: redactJson }));
}

function withoutAddresses(
  results: SharedJobWire["benchmark_results"],
): SharedJobWire["benchmark_results"] {
  return Object.fromEntries(
    Object.entries(results).map(([key, result]) => [
      key,
      {
        ...result,
        error_message: redactedOrNull(result.error_message, MAX_SHOWN_MESSAGE),
        // Reasons quote what a machine sent in place of a number.
        implausible: result.implausible.map(({ field, reason }) => ({
          field: redacted(field, MAX_IMPLAUSIBLE_FIELD),
          reason: redacted(reason, MAX_IMPLAUSIBLE_REASON),
        })),
      },
    ]),
  );
}
