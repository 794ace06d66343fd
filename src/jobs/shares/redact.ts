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

/** Tells a key from a value. */
const AFTER_KEY = /\s*:/y;

/** A text without addresses. A version of four numbers is taken for one. */
export function redactAddresses(text: string): string {
  return text.replace(ADDRESS, HIDDEN);
}

/**
 * JSON text without addresses in its strings; the names of libraries keep their versions. Different keys stay
 * different: the second that reads `[address]` is `[address] 2`.
 */
export function redactJson(json: string): string {
  const keys: AlikeKeys = new Map();
  return json.replace(STRINGS, (string, version: string | undefined, at: number) => {
    if (version !== undefined) return string;
    // The letter of an escape is no part of a word: "\n10.0.0.1".
    const text: string = JSON.parse(string);
    const redacted = redactAddresses(text);
    if (redacted === text) return string;
    AFTER_KEY.lastIndex = at + string.length;
    return JSON.stringify(AFTER_KEY.test(json) ? distinctKey(keys, text, redacted) : redacted);
  });
}

/** The keys that read the same, each with its number, by what they read. */
type AlikeKeys = Map<string, Map<string, number>>;

function distinctKey(keys: AlikeKeys, key: string, redacted: string): string {
  const alike = keys.get(redacted) ?? new Map<string, number>();
  keys.set(redacted, alike);
  const number = alike.get(key) ?? alike.size + 1;
  alike.set(key, number);
  return number === 1 ? redacted : `${redacted} ${number}`;
}
