import { test } from "vitest";
import packageJson from "../../../package.json";
import { PRODUCT, RELEASE } from "../../../src/lib/release.ts";

test("what the program says of itself is what package.json says", ({ expect }) => {
  expect({ version: RELEASE, description: PRODUCT }).toEqual({
    version: packageJson.version,
    description: packageJson.description,
  });
});
