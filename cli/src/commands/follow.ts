/** What `assay run` and `assay job watch` share: progress, the end, the report, the exit code. */
import { body } from "../api/client.ts";
import type { JobDetail } from "../api/types.ts";
import { EXIT, type Outcome } from "../exit-codes.ts";
import { Failure } from "../failure.ts";
import { createDisplay } from "../job/display.ts";
import { jobOutcome } from "../job/outcome.ts";
import { reportLink, reportPath, saveReport } from "../job/report-file.ts";
import { resultLines } from "../job/report-lines.ts";
import { watchJob } from "../job/watch.ts";
import { confirm } from "../session/prompt.ts";
import type { Opened } from "./open.ts";

export interface Following {
  jobId: string;
  /** Path of the report; undefined for its usual name, null for none. */
  report: string | undefined | null;
  /** Aborts the job when this program is stopped. */
  abortOnExit: boolean;
  /** Asks so at a terminal, where the option is not given. */
  mayAsk: boolean;
}

/** Follows a job, shows its end, saves its report; sets the program's exit code. */
export async function followJob(opened: Opened, following: Following): Promise<void> {
  const { api, session, output, stop } = opened;
  const display = createDisplay(process.stderr, output.quiet);
  // The signal ends the watching, and this verb says what becomes of the job.
  stop.handle(async () => {});
  let job: JobDetail;
  try {
    job = await watchJob({
      api: api(),
      caller: session(),
      signal: stop.signal,
      jobId: following.jobId,
      listener: display,
    });
  } catch (error) {
    display.end();
    if (stop.signal.aborted) await leaveJob(opened, following);
    throw stop.signal.aborted ? stop.signal.reason : error;
  }
  display.end();
  stop.handle(undefined);
  const clusters =
    Object.keys(job.benchmark_results).length === 0
      ? {}
      : await body(
          api().GET("/api/silicon-mark/v1/jobs/{job_id}/results", {
            params: { path: { job_id: job.id } },
          }),
        );
  const saved = await trySaving(opened, following, job);
  const code = jobOutcome(job);
  await output.result({ exit_code: code, report: saved, job, results: clusters }, () => {
    const [head = "", ...lines] = resultLines(job, clusters);
    const report = saved === null ? [] : ["", `Report: ${saved}`];
    return [output.paint(colourOf(code), head), ...lines, ...report];
  });
  process.exitCode = code;
}

function colourOf(code: Outcome): "green" | "yellow" | "red" {
  if (code === EXIT.ok) return "green";
  return code === EXIT.unrated ? "yellow" : "red";
}

/** The job goes on without this program, unless it is to be aborted. */
async function leaveJob(opened: Opened, { jobId, abortOnExit, mayAsk }: Following): Promise<void> {
  const { session, output, stop } = opened;
  const isAsked = mayAsk && stop.name === "SIGINT" && process.stderr.isTTY && !abortOnExit;
  const isToAbort =
    abortOnExit || (isAsked && (await confirm(`Abort job ${jobId}, too?`).catch(() => false)));
  if (!isToAbort) {
    output.say(
      `assay: stopped; the job continues. Follow it: assay job watch ${jobId}; end it: assay job abort ${jobId}`,
    );
    return;
  }
  try {
    // Without the signal, which has come already.
    const params = { path: { job_id: jobId } };
    await body(session().api().POST("/api/silicon-mark/v1/jobs/{job_id}/abort", { params }));
    output.say(`assay: job ${jobId} aborted`);
  } catch (error) {
    output.say(`assay: job ${jobId} could not be aborted: ${(error as Error).message}`);
  }
}

/** Path of the saved report; null without one. A report that was asked for by name is a failure when it is missing. */
async function trySaving(
  opened: Opened,
  { report, jobId }: Following,
  job: JobDetail,
): Promise<string | null> {
  const { api, session, output, stop } = opened;
  if (report === null || job.tasks.length === 0) return null;
  try {
    const link = job.pdf_report_url ?? (await reportLink(api(), jobId, stop.signal));
    const path = reportPath(jobId, report);
    await saveReport(session().host, link, path, stop.signal);
    return path;
  } catch (error) {
    stop.signal.throwIfAborted();
    if (report !== undefined || !(error instanceof Failure)) throw error;
    output.say(`assay: the report could not be saved: ${error.message}`);
    return null;
  }
}
