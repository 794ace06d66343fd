/** Takes network addresses out of texts that strangers read. Pure. */

/** What stands for an address. */
const HIDDEN = "[address]";

const OCTET = "(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)";
/** No part of a longer word or number. */
const START = "(?<![\\w.:-])";
const END = "(?![\\w:]|\\.\\w)";
const PORT = "(?::\\d{1,5})?";
const ADDRESSES = [
  `${OCTET}(?:\\.${OCTET}){3}(?:/\\d{1,2})?${PORT}`,
  // IPv6: eight groups, or fewer with a gap; also in brackets, with a zone, and with IPv4 at its end.
  `\\[?(?:(?:[\\da-f]{1,4}:){7}[\\da-f]{1,4}|(?:[\\da-f]{1,4}(?::[\\da-f]{1,4}){0,6})?::(?:(?:[\\da-f]{1,4}:){0,6}(?:${OCTET}(?:\\.${OCTET}){3}|[\\da-f]{1,4}))?)(?:%\\w+)?(?:/\\d{1,3})?\\]?${PORT}`,
  // Of a network card.
  "(?:[\\da-f]{2}[:-]){5}[\\da-f]{2}",
  // A name with a port.
  "[\\w-]+(?:\\.[\\w-]+)*\\.[a-z][\\w-]*:\\d{1,5}",
].join("|");
/** Versions of libraries have four numbers, too. */
const VERSIONS = '"(?:library|driver|ffi)"\\s*:\\s*"[^"\\\\]*"';
const FOUND = new RegExp(`${VERSIONS}|${START}(?:${ADDRESSES})${END}`, "gi");

/** A text, or JSON text, without addresses; the names of libraries keep their versions. */
export function redactAddresses(text: string): string {
  return text.replace(FOUND, (found) => (found.startsWith('"') ? found : HIDDEN));
}
