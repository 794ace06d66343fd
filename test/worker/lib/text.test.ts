import { test } from "vitest";
import { cutAt, foldedAddress } from "../../../src/lib/text.ts";

test.for([
  ["ömer@example.com", "ÖMER@EXAMPLE.COM"],
  ["ömer@example.com", "o\u0308mer@example.com"],
  ["straße@example.com", "STRASSE@example.com"],
  ["straße@example.com", "STRAẞE@example.com"],
  ["ὀδυσσεύς@example.com", "ὈΔΥΣΣΕΎΣ@example.com"],
  ["ada@example.com", "ａｄａ＠example．com"],
  ["kelvin@example.com", "\u212Aelvin@example.com"],
])("%s and %s are one address", ([one = "", other = ""], { expect }) => {
  expect(foldedAddress(other)).toBe(foldedAddress(one));
});

test("every character has one form, whatever its case and composition", ({ expect }) => {
  const faults: string[] = [];
  for (let point = 0; point < 0x30000; point++) {
    // Halves of surrogate pairs are no characters.
    if (point >= 0xd800 && point < 0xe000) continue;
    const character = String.fromCodePoint(point);
    const folded = foldedAddress(character);
    const alike = [character.toUpperCase(), character.toLowerCase(), character.normalize("NFD")];
    if ([folded, ...alike].some((text) => foldedAddress(text) !== folded)) faults.push(character);
  }
  expect(faults).toEqual([]);
});

test("a text is cut between two characters", ({ expect }) => {
  expect(cutAt("abc", 5)).toBe("abc");
  expect(cutAt("abc", 2)).toBe("ab");
  expect(cutAt("a😀b", 2)).toBe("a");
  expect(cutAt("a😀b", 3)).toBe("a😀");
});
