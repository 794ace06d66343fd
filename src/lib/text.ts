/** Forms of text that people type. */

/** The form in which names are stored, compared and sorted: a composed and a decomposed "é" are one (UAX 15, NFC). */
export function toNfc(text: string): string {
  return text.normalize("NFC");
}

/** The beginning of a text, in UTF-16 units; never half of a character. */
export function cutAt(text: string, length: number): string {
  return text.slice(0, length).replace(/[\ud800-\udbff]$/, "");
}

/** The form in which texts are compared without case, for all scripts: SQLite's `lower` knows ASCII alone. */
export function foldedText(text: string): string {
  return toNfc(toNfc(text).toLowerCase().toUpperCase().toLowerCase());
}

/**
 * The form in which e-mail addresses are compared: compatibility forms and the case of all scripts are alike. SQLite's
 * `lower` knows ASCII alone. Upper case joins ß with SS, and ς with σ; it leaves ẞ, which lower case brings to ß
 * first, and takes some Greek letters apart, which are composed again last.
 */
export function foldedAddress(address: string): string {
  const upper = address.normalize("NFKC").toLowerCase().toUpperCase();
  return upper.toLowerCase().normalize("NFKC");
}
