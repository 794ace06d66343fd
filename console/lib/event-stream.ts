/** Server-sent events by `fetch`, which, unlike the browser's `EventSource`, sends a token in a header. */
import { session } from "./session.ts";

export interface StreamMessage {
  event: string;
  data: string;
}

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

/** Turns pieces of text into messages (HTML, "Server-sent events"). Lines end with a line feed, as the API writes them. */
export function createParser(lastEventId: string, onMessage: (message: StreamMessage) => void) {
  let text = "";
  let id = lastEventId;
  const take = (frame: string) => {
    let event = "message";
    const data: string[] = [];
    for (const line of frame.split("\n")) {
      const colon = line.indexOf(":");
      const name = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "id") id = value;
      if (name === "event") event = value;
      if (name === "data") data.push(value);
    }
    if (data.length > 0) onMessage({ event, data: data.join("\n") });
  };
  return {
    take(piece: string) {
      const frames = (text + piece).split("\n\n");
      text = frames.pop() ?? "";
      for (const frame of frames) take(frame);
    },
    lastEventId: () => id,
  };
}
