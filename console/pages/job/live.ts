/** A job as it happens: its detail, kept fresh by server-sent events, or by asking again where there are none. */
import { useEffect, useReducer, useRef } from "preact/hooks";
import {
  api,
  call,
  type Fault,
  type FaultKind,
  type Outcome,
  type Schemas,
} from "../../lib/api.ts";
import { readStream } from "../../lib/event-stream.ts";
import { session } from "../../lib/session.ts";

export type JobDetail = Schemas["JobDetail"];
export type JobEvent = Schemas["JobEvent"];

/** `live`: told at once. `polling`: asked again every few seconds. `done`: nothing changes any more. */
export type Mode = "connecting" | "live" | "polling" | "done";

export interface LiveJob {
  job: JobDetail | null;
  fault: Fault | null;
  isSlow: boolean;
  at: number | null;
  mode: Mode;
  /** By rank; newer than in the detail. */
  progress: ReadonlyMap<number, Progress>;
  reload(): void;
}

export interface Progress {
  progress: number;
  message: string | null;
}

/** Details of 256 nodes are large: news within this time is read together. */
const DETAIL_PACE_MS = 2_000;
const POLL_MS = 5_000;
const RETRY_MS = 2_000;
/** Streams that did not open, until the page asks by itself. */
const MAX_FAILURES = 2;
/** After its end a job gets its verdict and report; afterwards it is asked for no more. */
const SETTLING_MS = 180_000;
const SLOW_MS = 3_000;
const HOPELESS: ReadonlySet<FaultKind> = new Set(["missing", "forbidden", "refused"]);
/** The detail has no more events than this. */
const MAX_EVENTS = 1_000;

type State = Omit<LiveJob, "reload">;
type Change = (state: State) => State;

const NOTHING: State = {
  job: null,
  fault: null,
  isSlow: false,
  at: null,
  mode: "connecting",
  progress: new Map(),
};

export function useLiveJob(id: string): LiveJob {
  const [state, change] = useReducer((old: State, by: Change) => by(old), NOTHING);
  const follower = useRef<Follower | null>(null);
  useEffect(() => {
    change(() => NOTHING);
    const own = new Follower(id, change);
    follower.current = own;
    void own.start();
    const again = () => {
      if (document.visibilityState === "visible") void own.load();
    };
    addEventListener("online", again);
    document.addEventListener("visibilitychange", again);
    return () => {
      removeEventListener("online", again);
      document.removeEventListener("visibilitychange", again);
      own.stop();
    };
  }, [id]);
  return { ...state, reload: () => void follower.current?.load() };
}

/** Follows one job until the page goes on to something else. */
class Follower {
  readonly #id: string;
  readonly #change: (by: Change) => void;
  readonly #ending = new AbortController();
  #job: JobDetail | null = null;
  #loading: Promise<void> | null = null;
  #isWanted = false;
  #timer = 0;
  #endSeenAt: number | null = null;
  /** There is no such job for this person: asking again changes nothing. */
  #isHopeless = false;

  constructor(id: string, change: (by: Change) => void) {
    this.#id = id;
    this.#change = change;
  }

  async start(): Promise<void> {
    await this.load();
    // A later attempt begins the stream.
    while (this.#job === null && !this.#isOver) {
      await pause(POLL_MS, this.#ending.signal);
      if (this.#job === null && !this.#isOver) await this.load();
    }
    if (this.#job?.ended_at === null) await this.#follow();
    await this.#settle();
  }

  stop(): void {
    this.#ending.abort();
    clearTimeout(this.#timer);
  }

  get #isOver(): boolean {
    return this.#ending.signal.aborted || this.#isHopeless || !session.isOpen;
  }

  /** Reads the detail; a call during another one is answered by one more after it. */
  load(): Promise<void> {
    if (this.#loading !== null) {
      this.#isWanted = true;
      return this.#loading;
    }
    this.#loading = this.#read().finally(() => {
      this.#loading = null;
      if (!this.#isWanted) return;
      this.#isWanted = false;
      this.#loadSoon();
    });
    return this.#loading;
  }

  async #read(): Promise<void> {
    if (this.#isOver) return;
    const slow = setTimeout(() => this.#change((old) => ({ ...old, isSlow: true })), SLOW_MS);
    try {
      const outcome = await readJob(this.#id, this.#ending.signal);
      if (this.#ending.signal.aborted) return;
      if (outcome.ok) this.#job = outcome.data;
      else this.#isHopeless = HOPELESS.has(outcome.fault.kind);
      this.#change((old) => withOutcome(old, outcome));
    } catch (error) {
      if (!this.#ending.signal.aborted) throw error;
    } finally {
      clearTimeout(slow);
    }
  }

  #loadSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.load(), DETAIL_PACE_MS);
  }

  async #follow(): Promise<void> {
    const known = this.#job?.events.length ?? 0;
    let lastEventId = known > 0 && known < MAX_EVENTS ? String(known) : "";
    let failures = 0;
    while (!this.#isOver && this.#job?.ended_at === null) {
      if (failures >= MAX_FAILURES) {
        this.#setMode("polling");
        await pause(POLL_MS, this.#ending.signal);
        // Nobody looks; the page is brought up to date when somebody does.
        if (document.visibilityState === "visible") await this.load();
        continue;
      }
      try {
        lastEventId = await readStream(`/api/silicon-mark/v1/jobs/${this.#id}/events`, {
          signal: this.#ending.signal,
          lastEventId,
          onOpen: () => {
            failures = 0;
            this.#setMode("live");
          },
          onMessage: (message) => this.#hear(message),
        });
        await this.load();
      } catch {
        // Without a network neither way works, and the stream is tried again once it is back.
        if (navigator.onLine) failures++;
      }
      await pause(RETRY_MS, this.#ending.signal);
    }
  }

  #hear({ event, data }: { event: string; data: string }): void {
    if (event === "progress") {
      const news: { rank: number } & Progress = JSON.parse(data);
      this.#change((old) => ({ ...old, progress: new Map(old.progress).set(news.rank, news) }));
    }
    if (event === "event") {
      const news: JobEvent = JSON.parse(data);
      this.#change((old) => withEvent(old, news));
      this.#loadSoon();
    }
    if (event === "end") void this.load();
  }

  /** After the end come the verdict and the report. */
  async #settle(): Promise<void> {
    this.#endSeenAt ??= Date.now();
    while (!this.#isOver && isSettling(this.#job) && Date.now() < this.#endSeenAt + SETTLING_MS) {
      this.#setMode("polling");
      await pause(RETRY_MS, this.#ending.signal);
      await this.load();
    }
    this.#setMode("done");
  }

  #setMode(mode: Mode): void {
    if (!this.#ending.signal.aborted) this.#change((old) => ({ ...old, mode }));
  }
}

function readJob(id: string, signal: AbortSignal): Promise<Outcome<JobDetail>> {
  const params = { path: { job_id: id } };
  return call(
    (both) => api.GET("/api/silicon-mark/v1/jobs/{job_id}", { params, signal: both }),
    signal,
  );
}

function withOutcome(old: State, outcome: Outcome<JobDetail>): State {
  return outcome.ok
    ? { ...old, job: outcome.data, fault: null, isSlow: false, at: Date.now() }
    : { ...old, fault: outcome.fault, isSlow: false };
}

function withEvent(old: State, news: JobEvent): State {
  const { job } = old;
  const isKnown = job?.events.some((each) => each.at === news.at && each.message === news.message);
  return job === null || isKnown === true
    ? old
    : { ...old, job: { ...job, events: [...job.events, news] } };
}

/** A verdict or a report is still to come. */
export function isSettling(job: JobDetail | null): boolean {
  if (job === null) return false;
  const hasReport = job.pdf_report_url !== null || job.report_error !== null;
  return hasJustEnded(job) && job.current_nodes > 0 && !hasReport;
}

/** Its verdict is still to come. */
export function isBeingRated(
  job: Pick<JobDetail, "ended_at" | "state" | "scoreboard_summary">,
): boolean {
  return hasJustEnded(job) && job.state.startsWith("completed") && job.scoreboard_summary === null;
}

function hasJustEnded({ ended_at: at }: Pick<JobDetail, "ended_at">): boolean {
  return at !== null && Date.now() - new Date(at).getTime() < SETTLING_MS;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
