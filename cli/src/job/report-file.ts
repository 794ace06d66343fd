/** Saving a job's report. */
import { createWriteStream, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type Api, whole } from "../api/client.ts";
import { failureOf } from "../api/errors.ts";
import { send } from "../api/transport.ts";
import { Failure, systemReason, unreachable } from "../failure.ts";

/** Making a report takes a few seconds; a server that makes others asks for patience. */
const ATTEMPTS = 12;
const PAUSE_MS = 5_000;
/** The server cuts a reply that stands still for as long. */
const SILENCE_MS = 60_000;

/** The link to a job's report. A missing report is made first. */
export async function reportLink(api: Api, jobId: string, signal: AbortSignal): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { data } = await whole(
        api.POST("/api/silicon-mark/v1/jobs/{job_id}/report", {
          params: { path: { job_id: jobId } },
        }),
      );
      return data.pdf_report_url;
    } catch (error) {
      if (!(error instanceof Failure) || error.status !== 503 || attempt === ATTEMPTS) throw error;
      await sleep(PAUSE_MS, undefined, { signal });
    }
  }
}

/** Where a report goes: a folder gets a file of its own name. */
export function reportPath(jobId: string, given: string | undefined): string {
  const name = `assay-job-${jobId}.pdf`;
  if (given === undefined) return name;
  const isFolder = given.endsWith("/") || statSync(given, { throwIfNoEntry: false })?.isDirectory();
  return isFolder ? join(given, name) : given;
}

/** Downloads a report. The link is its own credential: no token goes with it. */
export async function saveReport(
  host: string,
  link: string,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const reply = await send(new Request(new URL(link, host)), { signal, isStream: true });
  await saveReply(reply, path, signal);
}

/** Writes a reply's body to a file, which is there whole or not at all; to the standard output for `-`. */
export async function saveReply(reply: Response, path: string, signal: AbortSignal): Promise<void> {
  if (!reply.ok || reply.body === null)
    throw failureOf(reply, await reply.json().catch(() => null));
  if (path === "-") {
    for await (const bytes of arriving(reply.body, signal)) {
      await new Promise<void>((done) => process.stdout.write(bytes, () => done()));
    }
    return;
  }
  const draft = `${path}.part-${process.pid}`;
  try {
    await pipeline(arriving(reply.body, signal), createWriteStream(draft));
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    signal.throwIfAborted();
    if (error instanceof Failure) throw error;
    throw new Failure(`${path} cannot be written: ${systemReason(error)}`, 1);
  }
}

/** The pieces of a body; one that is cut off or stands still is a failure. */
async function* arriving(
  stream: NonNullable<Response["body"]>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  const cut = unreachable("the reply was cut off: try again");
  try {
    for (;;) {
      signal.throwIfAborted();
      const late = new AbortController();
      const timer = sleep(SILENCE_MS, null, { signal: late.signal }).catch(() => null);
      const piece = await Promise.race([reader.read().catch(() => null), timer]);
      late.abort();
      if (piece === null) throw cut;
      if (piece.done) return;
      yield piece.value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
