/** Takes network addresses out of texts that strangers read. Pure. */

/** What stands for an address. */
const HIDDEN = "[address]";

const OCTET = "(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)";
const IPV4 = `${OCTET}(?:\\.${OCTET}){3}`;
const GROUP = "[\\da-f]{1,4}";
const PORT = "(?::\\d{1,5})?";
/** No part of a longer word; a word, not a group of hexadecimal digits, may precede it with a colon (`eth0:fe80::1`). */
const START = "(?<![^\\W_])(?<!(?<!\\w)[\\da-f]{0,4}:)";
const END = "(?![^\\W_]|:[:\\da-f]|\\.\\w)";
const ADDRESSES = [
  // A name with a port.
  "(?<![\\w.-])[\\w-]+(?:\\.[\\w-]+)*\\.[a-z][\\w-]*:\\d{1,5}(?!\\w|[:.]\\w)",
  // IPv4 next to anything but another number, or the name of a library.
  `(?<!\\d|\\d\\.|\\.so\\.)${IPV4}(?:/\\d{1,2})?${PORT}(?!\\d|\\.\\d)`,
  // IPv6: eight groups, or fewer with a gap; also in brackets, with a zone, and with IPv4 at its end.
  `${START}\\[?(?:(?:${GROUP}:){7}${GROUP}|(?:${GROUP}(?::${GROUP}){0,6})?::(?:(?:${GROUP}:){0,6}(?:${IPV4}|${GROUP}))?)(?:%\\w+(?:[.-]\\w+)*)?(?:/\\d{1,3})?\\]?${PORT}${END}`,
  // Of a network card; those of InfiniBand have 20 numbers.
  `${START}(?:[\\da-f]{2}[:-]){5,19}[\\da-f]{2}${END}`,
].join("|");
const ADDRESS = new RegExp(ADDRESSES, "gi");

/** Strings of JSON. Versions of libraries have four numbers, too. */
const STRINGS = /("(?:library|driver|ffi)"\s*:\s*"[^"\\]*")|"[^"\\]*(?:\\.[^"\\]*)*"/g;

/** A text without addresses. A version of four numbers is taken for one. */
export function redactAddresses(text: string): string {
  return text.replace(ADDRESS, HIDDEN);
}

/** JSON text without addresses in its strings; the names of libraries keep their versions. */
export function redactJson(json: string): string {
  return json.replace(STRINGS, (string, version: string | undefined) => {
    if (version !== undefined) return string;
    // The letter of an escape is no part of a word: "\n10.0.0.1".
    const text: string = JSON.parse(string);
    const redacted = redactAddresses(text);
    return redacted === text ? string : JSON.stringify(redacted);
  });
}
