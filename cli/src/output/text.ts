/** Text for terminals: its width, and nothing in it that a terminal acts upon. */

/** Control characters, and those that turn the direction of text: names and messages come from machines and strangers. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to replace
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const EMPTY = /\p{Mn}|\p{Me}|\p{Cf}/u;

/** One line without control characters. */
export function plain(text: string): string {
  return text.replace(/[\r\n\t]+/g, " ").replace(UNSAFE, "\ufffd");
}

/** Cells that a line without control characters takes on a terminal. */
export function widthOf(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours take no room
  const bare = text.replace(/\u001b\[\d*m/g, "");
  let width = 0;
  for (const character of bare) width += EMPTY.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/** The beginning of a line that fits into `cells`, with an ellipsis where something was cut off. */
export function cutTo(text: string, cells: number): string {
  if (widthOf(text) <= cells) return text;
  let kept = "";
  let width = 1;
  for (const character of text) {
    width += widthOf(character);
    if (width > cells) break;
    kept += character;
  }
  return `${kept}…`;
}

export function pad(text: string, cells: number, isRight: boolean): string {
  const gap = " ".repeat(Math.max(0, cells - widthOf(text)));
  return isRight ? gap + text : text + gap;
}
