/** POST /v0/specs: every rule on both sides, slugs, and repeats. */
import { describe, test, vi } from "vitest";
import { createSpecRoute } from "../../../src/specs/contract.ts";
import { call, expectContract, expectError, V0 } from "../harness/client.ts";
import { createPerson, HARDWARE } from "../harness/factories.ts";

const { token } = await createPerson({ role: "root_admin" });
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function create(body: unknown, headers: Record<string, string> = {}) {
  return call("POST", `${V0}/specs`, { token, body, headers });
}

function update(spec: string, body: unknown) {
  return call("PATCH", `${V0}/specs/${spec}`, { token, body });
}

let serial = 0;
const minimal = () => ({ name: `Spec ${serial++}`, ...HARDWARE });

test("what is given and what is not", async ({ expect }) => {
  const given = {
    name: "Mac mini",
    slug: "mac-mini",
    os: "macos",
    architecture: "aarch64",
    cpu: 10,
    memory: 34_359_738_368,
    disk: 549_755_813_888,
    network: true,
  };
  const full = await create(given);
  expectContract(expect, full, createSpecRoute, 201);
  const { uuid, created, modified, ...rest } = full.body;
  expect(uuid).toMatch(UUID);
  expect(rest).toEqual({ ...given, archived: null });
  expect(modified).toBe(created);
  expect(Math.abs(Date.parse(created) - Date.now())).toBeLessThan(60_000);

  const least = await create({ name: "Least of all", ...HARDWARE });
  expectContract(expect, least, createSpecRoute, 201);
  expect(least.body).toMatchObject({
    ...HARDWARE,
    name: "Least of all",
    slug: "least-of-all",
    os: "linux",
    network: false,
    archived: null,
  });
});

describe("what is accepted", () => {
  test.for([
    ["a name of 64 bytes", { name: "x".repeat(64) }],
    ["a name of 64 bytes, two each", { name: "é".repeat(32) }],
    ["a name of 64 bytes, four each", { name: "😀".repeat(16) }],
    ["a name without any letter", { name: "!!!" }],
    ["white space within a name", { name: "a \u00a0 b" }],
    ["slug null", { slug: null }],
    ["a slug of 1", { slug: "q" }],
    ["a slug of 64", { slug: "s".repeat(64) }],
    ["cpu 1", { cpu: 1 }],
    ["cpu 2^31-1", { cpu: 2 ** 31 - 1 }],
    ["memory and disk of a byte", { memory: 1, disk: 1 }],
    ["memory and disk of 2^53-1", { memory: 2 ** 53 - 1, disk: 2 ** 53 - 1 }],
    ["aarch64", { architecture: "aarch64" }],
    ["linux", { os: "linux" }],
    ["windows", { os: "windows" }],
    ["network", { network: true }],
    ["no fallback", { fallback: false }],
    ["no sandbox", { sandbox: null }],
    ["unknown keys", { surprise: 1, uuid: "mine", created: null }],
  ] as const)("%s", async ([, change], { expect }) => {
    const reply = await create({ ...minimal(), ...change });
    expectContract(expect, reply, createSpecRoute, 201);
    expect(reply.body.uuid).toMatch(UUID);
  });

  test("2.0 is 2", async ({ expect }) => {
    const body = JSON.stringify({ ...minimal(), cpu: 7 }).replace('"cpu":7', '"cpu":2.0');
    expect((await create(body)).body.cpu).toBe(2);
  });
});

describe("what is refused, and how it says so", () => {
  const bytes = "must be an integer between 1 and 9007199254740991";
  const cpus = "cpu must be an integer between 1 and 2147483647";
  const slug = "slug must consist of lower-case ASCII letters and digits";
  test.for([
    ["no name", { name: undefined }, "name is required"],
    ["name null", { name: null }, "name must be a string"],
    ["name empty", { name: "" }, "name must not be empty"],
    ["a name of 65", { name: "x".repeat(65) }, "name must have at most 64 characters"],
    ["a name of 65 bytes", { name: `${"é".repeat(32)}x` }, "at most 64 bytes of UTF-8"],
    ["a name of 68 bytes", { name: "😀".repeat(17) }, "at most 64 bytes of UTF-8"],
    ["white space before", { name: " x" }, "name must not begin or end with white space"],
    ["white space after", { name: "x\u00a0" }, "name must not begin or end with white space"],
    ["only white space", { name: " " }, "name must not begin or end with white space"],
    ["a control character", { name: "a\nb" }, "name must not contain control characters"],
    ["a lone surrogate", { name: "a\ud800" }, "name must be well-formed Unicode"],
    ["a name that is a number", { name: 7 }, "name must be a string"],
    ["a slug with two hyphens", { slug: "a--b" }, slug],
    ["a slug with a capital", { slug: "A" }, slug],
    ["a slug of 65", { slug: "s".repeat(65) }, "slug must have at most 64 characters"],
    ["a slug that ends in a hyphen", { slug: "a-" }, slug],
    ["a slug with an underscore", { slug: "a_b" }, slug],
    ["an empty slug", { slug: "" }, slug],
    [
      "a slug that is a UUID",
      { slug: "00000000-0000-4000-8000-000000000000" },
      "slug must not be a UUID or `me`",
    ],
    ["a slug of 32 digits", { slug: "f".repeat(32) }, "slug must not be a UUID"],
    ["the slug me", { slug: "me" }, "slug must not be a UUID or `me`"],
    ["no cpu", { cpu: undefined }, "cpu"],
    ["cpu 0", { cpu: 0 }, "cpu must be between 1 and 2147483647"],
    ["cpu 2^31", { cpu: 2 ** 31 }, "cpu must be between 1 and 2147483647"],
    ["half a cpu", { cpu: 1.5 }, cpus],
    ['cpu "2"', { cpu: "2" }, cpus],
    ["cpu null", { cpu: null }, cpus],
    ["memory 0", { memory: 0 }, "memory must be between 1 and 9007199254740991"],
    ["memory 2^53", { memory: 2 ** 53 }, "memory must be at most 9007199254740991 (2^53 - 1)"],
    ["memory null", { memory: null }, `memory ${bytes}`],
    ["no disk", { disk: undefined }, "disk"],
    ["disk 2^53", { disk: 2 ** 53 }, "disk must be at most 9007199254740991 (2^53 - 1)"],
    ["disk -1", { disk: -1 }, "disk must be between 1 and 9007199254740991"],
    ["arm64", { architecture: "arm64" }, "architecture must be one of x86_64, aarch64"],
    ["architecture null", { architecture: null }, "architecture must be one of x86_64, aarch64"],
    ["os null", { os: null }, "os must be one of linux, macos, windows"],
    ["os Linux", { os: "Linux" }, "os must be one of linux, macos, windows"],
    ["network null", { network: null }, "network must be a boolean"],
    ['network "true"', { network: "true" }, "network must be a boolean"],
    ["a fallback", { fallback: true }, "fallback is not supported: leave it out, or send false"],
    ["a sandbox", { sandbox: {} }, "sandbox is not supported: leave it out, or send null"],
  ] as const)("%s", async ([, change, message], { expect }) => {
    const body = { ...minimal(), ...change };
    const reply = await create(body);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.message).toContain(message);
    expect(reply.body.error.details[0].field).toBe(Object.keys(change)[0]);
  });
});

describe("slugs", () => {
  test("one name twice: 201 both times, with different slugs", async ({ expect }) => {
    const body = { ...HARDWARE, name: "Twice here" };
    const [first, second] = [await create(body), await create(body)];
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(first.body.slug).toBe("twice-here");
    expect(second.body.slug).toMatch(/^twice-here-[a-z0-9]{8}$/);
    expect(second.body.name).toBe(first.body.name);
  });

  test("a taken slug that was asked for is no error either", async ({ expect }) => {
    await create({ ...minimal(), slug: "wanted" });
    const again = await create({ ...minimal(), slug: "wanted" });
    expect(again.status).toBe(201);
    expect(again.body.slug).toMatch(/^wanted-[a-z0-9]{8}$/);
  });

  test("100 creations of one name at once: 100 specs, 100 slugs", async ({ expect }) => {
    const body = { ...HARDWARE, name: "Crowd" };
    const replies = await Promise.all(Array.from({ length: 100 }, () => create(body)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(replies.map((reply) => reply.body.slug)).size).toBe(100);
    expect(new Set(replies.map((reply) => reply.body.uuid)).size).toBe(100);
    const listed = await call("GET", `${V0}/specs?name=Crowd&per_page=255`, { token });
    expect(listed.headers.get("x-total-count")).toBe("100");
    expect(listed.body).toHaveLength(100);
  });

  test("a random suffix that is taken is redrawn", async ({ expect }) => {
    const random = vi.spyOn(Math, "random").mockReturnValue(0);
    try {
      const slugs = [];
      for (let n = 0; n < 2; n++) {
        slugs.push((await create({ ...HARDWARE, name: "Drawn" })).body.slug);
      }
      expect(slugs).toEqual(["drawn", "drawn-aaaaaaaa"]);
      for (let sign = 0; sign < 8; sign++) random.mockReturnValueOnce(0);
      random.mockReturnValue(0.999);
      expect((await create({ ...HARDWARE, name: "Drawn" })).body.slug).toBe("drawn-99999999");
    } finally {
      random.mockRestore();
    }
  });
});

test("a repeat with its Idempotency-Key gets the first reply, though the spec has changed", async ({
  expect,
}) => {
  const key = { "idempotency-key": "spec-once" };
  await create({ ...HARDWARE, name: "Once" });
  const first = await create({ ...HARDWARE, name: "Once", network: true }, key);
  expect(first.body.slug, "the database chose it").toMatch(/^once-[a-z0-9]{8}$/);
  await update(first.body.uuid, { name: "Renamed", slug: "renamed-since", archived: true });
  const again = await create({ name: "Once", network: true, ...HARDWARE }, key);
  expect(again.text).toBe(first.text);
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  expect(again.headers.get("etag")).toBe(first.headers.get("etag"));
  const other = await create({ ...HARDWARE, name: "Twice" }, key);
  expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
});

test("50 at once with one key: one spec", async ({ expect }) => {
  const body = { ...HARDWARE, name: "Raced once" };
  const key = { "idempotency-key": "spec-race" };
  const replies = await Promise.all(Array.from({ length: 50 }, () => create(body, key)));
  expect(new Set(replies.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
  const listed = await call("GET", `${V0}/specs?name=Raced+once`, { token });
  expect(listed.body).toHaveLength(1);
});
