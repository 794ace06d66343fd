/** Following a job to its end: by server-sent events, and by polling where those do not pass. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Api, body, type Caller, call, whole } from "../api/client.ts";
import { failureOf } from "../api/errors.ts";
import { createEventReader, type ServerEvent } from "../api/events.ts";
import type { JobDetail } from "../api/types.ts";
import { Failure } from "../failure.ts";
import { hasEnded } from "./outcome.ts";

/** The first bytes of a stream arrive at once, unless something between holds them back. */
const FIRST_BYTES_MS = 10_000;
/** The server sends a comment every 20 s. */
const SILENCE_MS = 50_000;
/** Streams that fail in a row before polling takes over. */
const MAX_BROKEN = 3;
/** Seconds that a poll waits at the server. */
const WAIT_SECONDS = 25;
/** A server that does not wait is not asked more often. */
const POLL_MS = 2_000;
/** News of a large job comes in showers: its detail is read at most this often. */
const DETAIL_MS = 2_000;
/** A job that has ended gets its verdict and report within seconds. */
const VERDICT_MS = 120_000;
/** Failures in a row that are waited out. */
const MAX_FAILURES = 8;
const RETRY_MS = 2_000;

export interface Watched {
  /** A newer detail. */
  onDetail: (job: JobDetail) => void;
  onProgress: (progress: { rank: number; progress: number; message: string | null }) => void;
  onEvent: (event: { at: string; kind: string; rank: number | null; message: string }) => void;
  /** A remark about the connection. */
  onNote: (text: string) => void;
}

export interface Watching {
  api: Api;
  caller: Caller;
  signal: AbortSignal;
  jobId: string;
  listener: Watched;
}

/**
 * Follows a job to its end, its verdict and its report.
 *
 * @returns the settled job
 * @throws Failure when the job cannot be read any more; the reason of the signal
 */
export async function watchJob(watching: Watching): Promise<JobDetail> {
  const first = await readJob(watching);
  watching.listener.onDetail(first.job);
  const job = hasEnded(first.job) ? first.job : await follow(watching, first);
  return awaitVerdict(watching, job);
}

interface Read {
  job: JobDetail;
  etag: string | null;
}

async function readJob({ api, jobId }: Watching): Promise<Read> {
  const { data, response } = await whole(
    api.GET("/api/silicon-mark/v1/jobs/{job_id}", { params: { path: { job_id: jobId } } }),
  );
  return { job: data, etag: response.headers.get("etag") };
}

async function follow(watching: Watching, first: Read): Promise<JobDetail> {
  const stream = new Stream(watching);
  for (let broken = 0; broken < MAX_BROKEN; ) {
    const { isOver, wasRead, isHeldBack } = await stream.read();
    if (isOver) return (await readJob(watching)).job;
    if (isHeldBack) break;
    broken = wasRead ? 0 : broken + 1;
    await pause(RETRY_MS * (broken + 1) * 0.5, watching.signal);
  }
  watching.listener.onNote("events do not come through: asking for the job's state instead");
  return poll(watching, first);
}

/** One stream of events after another, each going on where the last has broken off. */
class Stream {
  readonly #watching: Watching;
  #lastId = "";
  #readAt = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(watching: Watching) {
    this.#watching = watching;
  }

  /** Reads one stream. `wasRead`: events come through; `isHeldBack`: something between keeps them. */
  async read(): Promise<{ isOver: boolean; wasRead: boolean; isHeldBack?: boolean }> {
    const { signal, caller, jobId } = this.#watching;
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), FIRST_BYTES_MS);
    const reader = createEventReader(this.#lastId);
    let wasRead = false;
    try {
      const headers = {
        accept: "text/event-stream",
        ...(this.#lastId === "" ? {} : { "last-event-id": this.#lastId }),
      };
      const address = `${caller.host}/api/silicon-mark/v1/jobs/${jobId}/events`;
      const ended = AbortSignal.any([signal, silence.signal]);
      const reply = await call(caller, new Request(address, { headers }), {
        signal: ended,
        isStream: true,
      });
      if (!reply.ok) throw failureOf(reply, await reply.json().catch(() => null));
      if (!(reply.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
        return { isOver: false, wasRead: false };
      }
      const decoder = new TextDecoder();
      for await (const bytes of reply.body ?? []) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        wasRead = true;
        for (const event of reader.feed(decoder.decode(bytes, { stream: true }))) {
          this.#lastId = event.id;
          if (event.event === "end") return { isOver: true, wasRead };
          this.#take(event);
        }
      }
      return { isOver: false, wasRead };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Failure && isFinal(error)) throw error;
      return { isOver: false, wasRead, isHeldBack: !wasRead && silence.signal.aborted };
    } finally {
      clearTimeout(timer);
      silence.abort();
      await this.#reading;
    }
  }

  #take({ event, data }: ServerEvent): void {
    const value: unknown = JSON.parse(data);
    const { listener } = this.#watching;
    // `as`: the forms that the API document gives these events.
    if (event === "progress") listener.onProgress(value as Parameters<Watched["onProgress"]>[0]);
    if (event !== "event") return;
    listener.onEvent(value as Parameters<Watched["onEvent"]>[0]);
    if (Date.now() - this.#readAt < DETAIL_MS) return;
    this.#readAt = Date.now();
    this.#reading = readJob(this.#watching).then(
      ({ job }) => listener.onDetail(job),
      // The next event, or the end, reads it again.
      () => {},
    );
  }
}

/** A failure that time does not cure. */
function isFinal({ status }: Failure): boolean {
  return status !== undefined && status >= 400 && status < 500 && status !== 429;
}

/** Asks for the job again and again; each request waits at the server until something has changed. */
async function poll(watching: Watching, first: Read): Promise<JobDetail> {
  const { listener, signal } = watching;
  let { etag } = first;
  for (let failures = 0; ; ) {
    const askedAt = Date.now();
    try {
      const next = await waitForChange(watching, etag);
      failures = 0;
      if (next !== null) {
        etag = next.etag;
        listener.onDetail(next.job);
        if (hasEnded(next.job)) return next.job;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Failure) || isFinal(error) || ++failures > MAX_FAILURES) throw error;
      listener.onNote(`${error.message}; trying again`);
    }
    await pause(POLL_MS - (Date.now() - askedAt), signal);
  }
}

/** The job once it differs from what the tag names; null when it does not. */
async function waitForChange({ api, jobId }: Watching, etag: string | null): Promise<Read | null> {
  const reply = await api.GET("/api/silicon-mark/v1/jobs/{job_id}", {
    params: {
      path: { job_id: jobId },
      query: { wait: WAIT_SECONDS },
      ...(etag === null ? {} : { header: { "If-None-Match": etag } }),
    },
  });
  if (reply.response.status === 304) return null;
  const job = await body(Promise.resolve(reply));
  return { job, etag: reply.response.headers.get("etag") };
}

/** Waits until the job has its verdict and its report, or never gets them. */
async function awaitVerdict(watching: Watching, settled: JobDetail): Promise<JobDetail> {
  const until = Date.now() + VERDICT_MS;
  let read: Read = { job: settled, etag: null };
  // Without a node there is nothing to rate.
  while (settled.tasks.length > 0 && !isComplete(read.job) && Date.now() < until) {
    const askedAt = Date.now();
    const next = await waitForChange(watching, read.etag);
    read = next ?? read;
    if (next !== null || Date.now() - askedAt >= POLL_MS) continue;
    // Unchanged at once: nothing more comes to a job with a verdict. Others hear so where too many requests wait.
    if (read.job.scoreboard_summary !== null) break;
    await pause(POLL_MS, watching.signal);
  }
  watching.listener.onDetail(read.job);
  return read.job;
}

function isComplete({ pdf_report_url, report_error }: JobDetail): boolean {
  return pdf_report_url !== null || report_error !== null;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
