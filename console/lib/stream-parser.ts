/** The text of server-sent events, in pieces of any length. Pure. */

export interface StreamMessage {
  event: string;
  data: string;
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
