const HEX = "[0-9A-Fa-f]";
const DIGITS = `(?:${HEX}{8}(?:-${HEX}{4}){3}-${HEX}{12}|${HEX}{32})`;

/** Every usual spelling of a UUID, as a pattern without flags: plain or as 32 digits, in braces, as a URN. */
export const UUID_PATTERN = `(?:${DIGITS}|\\{${DIGITS}\\}|[Uu][Rr][Nn]:[Uu][Uu][Ii][Dd]:${DIGITS})`;

const UUID = new RegExp(`^${UUID_PATTERN}$`);
const CANONICAL = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Rewrites a UUID to its canonical spelling (RFC 9562: lower case, hyphens); null for any other text. */
export function parseUuid(text: string): string | null {
  // Nearly all are; rewriting them would take a twentieth of an idle claim.
  if (CANONICAL.test(text)) return text;
  if (!UUID.test(text)) return null;
  const digits = text.replace(/^urn:uuid:/i, "").replaceAll(/[{}-]/g, "");
  return digits.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
