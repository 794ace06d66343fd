/** Server-sent events (HTML, "Server-sent events"), read from a reply as they arrive. */

export interface ServerEvent {
  event: string;
  data: string;
  /** The last id so far, for `Last-Event-ID`. */
  id: string;
}

/** Assay sends no longer event. */
const MAX_CHARACTERS = 2 ** 20;

/** Splits text into events; `feed` answers those that a piece has completed. */
export function createEventReader(lastId = "") {
  let rest = "";
  let id = lastId;
  let event = "";
  let data: string[] = [];

  function take(line: string): ServerEvent | null {
    if (line === "") {
      const complete =
        data.length > 0 ? { event: event || "message", data: data.join("\n"), id } : null;
      event = "";
      data = [];
      return complete;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
    return null;
  }

  return {
    feed(text: string): ServerEvent[] {
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      if (rest.length > MAX_CHARACTERS || data.length > MAX_CHARACTERS)
        throw new Error("endless event");
      return lines.flatMap((line) => take(line) ?? []);
    },
    get lastId(): string {
      return id;
    },
  };
}
