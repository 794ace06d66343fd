/** A job's events as they happen, as `text/event-stream` (HTML, "Server-sent events"). Loaded with the first stream. */
import type { Refusal, Seen, Watched } from "../coordinator/wire/protocol.ts";
import { type Clock, MINUTE_MS, SECOND_MS, toTimestamp } from "../lib/clock.ts";
import { taskIdOf } from "../lib/ids.ts";
import { logEvent } from "../lib/log.ts";
import type { WatchedRow } from "./store.ts";
import { READ_D1_MS, sleepMs } from "./waiting.ts";

/** A stream ends after this time, and its client comes back. */
const LONGEST_MS = 15 * MINUTE_MS;
/** Calls of D1 and of the object by one stream: the platform allows a request a thousand. */
const MAX_CALLS = 800;
/** A silent stream sends a comment this often, so that neither proxies nor the client take it for dead. */
const COMMENT_MS = 20 * SECOND_MS;
/** The caller's rights, and the job's row, are read again this often. */
const CHECK_MS = 20 * SECOND_MS;
/** News within this time is sent together. */
const PACE_MS = SECOND_MS;
/** A client that reads nothing for this long is cut off. */
const STALLED_MS = 60 * SECOND_MS;
/** Time after which the client comes back, by the standard's `retry` field. */
const RETRY_MS = 2_000;

export interface Watching {
  jobId: number;
  /** D1's row when the stream begins. */
  row: WatchedRow;
  /** Number of events that the client has. */
  from: number;
  /** D1's row now; null once the caller may not read the job any more. */
  read: () => Promise<WatchedRow | null>;
  watch: (seen: Seen, waitMs: number) => Promise<Watched | Refusal>;
  clock: Clock;
  sleep?: (ms: number) => Promise<void>;
}

/**
 * The frames of a stream. Nothing is asked for before the client wants the next one, and what has happened until
 * then is sent together, so that a slow client costs no memory.
 */
export async function* framesOf(watching: Watching): AsyncGenerator<string, void> {
  const { jobId, read, watch, clock, sleep = sleepMs } = watching;
  let { row } = watching;
  const startedAt = clock.now();
  const progress = new Map<number, string>();
  let seen: Seen = { mark: null, events: watching.from };
  let [checkedAt, sentAt] = [startedAt, startedAt];
  yield `retry: ${RETRY_MS}\n\n`;
  for (let calls = 0; calls < MAX_CALLS; calls++) {
    const isLive = row.coordinated && row.endedAt === null;
    const now = clock.now();
    const leftMs = startedAt + LONGEST_MS - now;
    if (leftMs <= 0) return;
    const waitMs = Math.max(0, Math.min(leftMs, sentAt + COMMENT_MS - now));
    const news = isLive ? await watch(seen, waitMs) : rowNews(row, seen.events);
    if (!news.ok) throw new Error(`coordinator says ${news.reason}`);
    const known = seen.events;
    seen = { mark: news.mark, events: known + news.events.length };
    const frames = [
      ...news.events.map((event, at) => eventFrame(known + at + 1, event)),
      ...news.nodes.flatMap((node) => progressFrame(jobId, node, progress)),
    ];
    if (news.endedAt !== null) {
      const ended = { state: news.state, ended_at: toTimestamp(news.endedAt) };
      yield [...frames, frameOf("end", ended)].join("");
      return;
    }
    const isNews = frames.length > 0;
    if (!isNews && clock.now() - sentAt >= COMMENT_MS) frames.push(": \n\n");
    if (frames.length > 0) {
      sentAt = clock.now();
      yield frames.join("");
    }
    if (!isLive) await sleep(READ_D1_MS);
    else if (isNews) await sleep(PACE_MS);
    if (isLive && clock.now() - checkedAt < CHECK_MS) continue;
    calls++;
    checkedAt = clock.now();
    const current = await read();
    if (current === null) return;
    row = current;
  }
}

/** What D1 knows of a job that has no object, or has ended. */
function rowNews({ events, state, endedAt }: WatchedRow, seen: number): Watched {
  return { ok: true, mark: "", state, endedAt, events: events.slice(seen), nodes: [] };
}

function eventFrame(ordinal: number, event: Watched["events"][number]): string {
  return `id: ${ordinal}\n${frameOf("event", { ...event, at: toTimestamp(event.at) })}`;
}

/** @param shown the progress that the client knows, by rank */
function progressFrame(
  jobId: number,
  { rank, progress, message }: Watched["nodes"][number],
  shown: Map<number, string>,
): string[] {
  const now = JSON.stringify([progress, message]);
  if (now === (shown.get(rank) ?? "[0,null]")) return [];
  shown.set(rank, now);
  return [frameOf("progress", { task_id: String(taskIdOf(jobId, rank)), rank, progress, message })];
}

function frameOf(kind: "event" | "progress" | "end", data: object): string {
  return `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

/**
 * The bytes of a stream, made as the client reads.
 *
 * @param onEnd called once, however the stream ends
 */
export function streamOf(
  frames: AsyncGenerator<string, void>,
  onEnd: () => void,
  stalledMs = STALLED_MS,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const end = () => {
    clearTimeout(timer);
    if (isOver) return;
    isOver = true;
    onEnd();
    // It may be waiting for news, and ends after that.
    void frames.return().catch(() => {});
  };
  const cut = (controller: ReadableStreamDefaultController, cause: string) => {
    if (isOver) return;
    logEvent("warn", "reply_cut", { cause });
    controller.error(new Error(cause));
    end();
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(timer);
        try {
          const { done, value } = await frames.next();
          if (isOver) return;
          if (done) {
            controller.close();
            return end();
          }
          controller.enqueue(encoder.encode(value));
        } catch (error) {
          return cut(controller, String(error));
        }
        timer = setTimeout(cut, stalledMs, controller, "The client stopped reading");
      },
      cancel: end,
    },
    // Nothing is made ahead of the client.
    { highWaterMark: 0 },
  );
}
