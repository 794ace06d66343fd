/** Server-sent events by `fetch`, which, unlike the browser's `EventSource`, sends a token in a header. */
import { session } from "./session.ts";
import { createParser, type StreamMessage } from "./stream-parser.ts";

export interface StreamOptions {
  signal: AbortSignal;
  /** Ordinal of the last event that is known; the stream goes on after it. */
  lastEventId: string;
  onOpen: () => void;
  onMessage: (message: StreamMessage) => void;
}

/** Longer than the server's longest silence. */
const SILENCE_MS = 60_000;

/**
 * Reads a stream to its end; answers the id of its last event, to go on from.
 *
 * @throws when there is no stream, or it falls silent
 */
export async function readStream(url: string, options: StreamOptions): Promise<string> {
  const { signal, onOpen, onMessage } = options;
  const silence = new AbortController();
  const token = await session.credential();
  const response = await fetch(url, {
    signal: AbortSignal.any([signal, silence.signal]),
    headers: {
      Accept: "text/event-stream",
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...(options.lastEventId === "" ? {} : { "Last-Event-ID": options.lastEventId }),
    },
  });
  if (!response.ok || response.body === null) throw new Error(`no stream: ${response.status}`);
  onOpen();
  const parser = createParser(options.lastEventId, onMessage);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return parser.lastEventId();
    parser.take(value);
  }
}
