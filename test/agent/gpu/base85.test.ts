import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBase85, encodeBase85 } from "../../../agent/src/gpu/base85.ts";

test("any bytes come back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = encodeBase85(bytes);
      expect(text).toHaveLength(Math.ceil(bytes.length / 4) * 5);
      expect([...decodeBase85(text, bytes.length)]).toEqual([...bytes]);
    }),
  );
});

test("the example of its specification", () => {
  const bytes = Buffer.from("864fd26fb559f75b", "hex");
  expect(encodeBase85(bytes)).toBe("HelloWorld");
  expect(decodeBase85("HelloWorld", 8)).toEqual(bytes);
});
