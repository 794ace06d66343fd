/** Slugs from names and UUIDs in any spelling: pure rules, for any input. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { chooseSlug, isReservedSlug } from "../../../src/lib/slugs.ts";
import { parseUuid } from "../../../src/lib/uuids.ts";

const SLUG = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const RANDOM = /^[a-z0-9]{8}$/;
const ZEROS = () => 0;

describe("a slug made from a name", () => {
  test.for([
    ["H100 node", "h100-node"],
    ["  -- GPU__box!! ", "gpu-box"],
    ["Größe 8× H100", "grosse-8-h100"],
    ["Привет мир", "privet-mir"],
    ["深圳 节点", "shenzhen-jiedian"],
    ["日本語 サーバー", "ribenyu-saba"],
    ["서울", "seoul"],
    ["Ελλάδα", "ellada"],
    ["नमस्ते", "nmste"],
    ["٣ nodes", "3-nodes"],
    ["e\u0301te\u0301", "ete"],
    ["GPU 😀 box", "gpu-box"],
    ["ＡＢＣ", "abc"],
  ] as const)("%s → %s", async ([name, expected], { expect }) => {
    const { preferred, otherwise } = await chooseSlug(null, name, ZEROS);
    expect(preferred).toBe(expected);
    expect(otherwise).toBe(`${expected}-aaaaaaaa`);
  });

  test.for(["!!!", "😀", "— · —", "+++"])(
    "a name without any letter or digit (%s): 8 random characters",
    async (name, { expect }) => {
      const { preferred, otherwise } = await chooseSlug(null, name);
      expect(preferred).toMatch(RANDOM);
      expect(otherwise).toMatch(RANDOM);
      expect(preferred).not.toBe(otherwise);
    },
  );

  test.for(["me", "ME!", "550e8400-e29b-41d4-a716-446655440000", "f".repeat(32)])(
    "what a path would take for something else (%s) gets a random suffix",
    async (name, { expect }) => {
      const { preferred } = await chooseSlug(null, name);
      expect(preferred).toMatch(/-[a-z0-9]{8}$/);
      expect(isReservedSlug(preferred)).toBe(false);
    },
  );

  test("of any name: well-formed, at most 64, not reserved; so is the other one", async ({
    expect,
  }) => {
    const names = fc.oneof(
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 64 }),
      fc.string({ unit: fc.constantFrom(..."aé中 -"), minLength: 1, maxLength: 64 }),
    );
    await fc.assert(
      fc.asyncProperty(names, async (name) => {
        for (const slug of Object.values(await chooseSlug(null, name))) {
          expect(slug).toMatch(SLUG);
          expect(slug.length).toBeLessThanOrEqual(64);
          expect(isReservedSlug(slug)).toBe(false);
        }
      }),
    );
  });

  test("a long one is cut, and so that the random suffix fits", async ({ expect }) => {
    const { preferred, otherwise } = await chooseSlug(null, `${"a".repeat(54)} ${"b".repeat(9)}`);
    expect(preferred).toBe(`${"a".repeat(54)}-${"b".repeat(9)}`);
    expect(otherwise).toMatch(/^a{54}-[a-z0-9]{8}$/);
    const full = await chooseSlug("c".repeat(64), "unused", ZEROS);
    expect(full).toEqual({ preferred: "c".repeat(64), otherwise: `${"c".repeat(55)}-aaaaaaaa` });
  });
});

describe("a UUID", () => {
  const canonical = "550e8400-e29b-41d4-a716-446655440000";

  test.for([
    canonical,
    canonical.toUpperCase(),
    "550e8400e29b41d4a716446655440000",
    `{${canonical}}`,
    "{550E8400E29B41D4A716446655440000}",
    `urn:uuid:${canonical}`,
    `URN:UUID:${canonical}`,
  ])("%s is one", (text, { expect }) => {
    expect(parseUuid(text)).toBe(canonical);
  });

  test.for([
    "",
    "550e8400",
    canonical.slice(1),
    `${canonical}0`,
    `{${canonical}`,
    `${canonical}}`,
    `urn:${canonical}`,
    canonical.replace("5", "g"),
    "550e8400-e29b41d4a716446655440000",
    ` ${canonical}`,
  ])("%s is none", (text, { expect }) => {
    expect(parseUuid(text)).toBeNull();
  });
});
