/** The exact answer to each kind of bad input, over real connections. The fuzz accepts any declared status. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { type LocalWorker, startLocalWorker } from "../../scripts/lib/local-worker.ts";
import { send } from "./wire.ts";
import { createWorld, type World } from "./world.ts";

const JOBS = "/api/silicon-mark/v1/jobs";
const folder = mkdtempSync(join(tmpdir(), "assay-bad-input-"));
let worker: LocalWorker;
let world: World;

beforeAll(async () => {
  worker = await startLocalWorker(await buildBundle(folder), { RATE_LIMIT_SCALE: "1000000" });
  world = await createWorld(worker);
}, 120_000);

afterAll(async () => {
  world?.close();
  await worker?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function request(
  method: string,
  target: string,
  body: string | Uint8Array | null = null,
  options: { headers?: Record<string, string>; chunked?: boolean } = {},
) {
  const reply = await send(worker.url, world.agent, {
    method,
    target,
    headers: {
      authorization: `Bearer ${world.ownerToken()}`,
      ...(body === null ? {} : { "content-type": "application/json" }),
      ...options.headers,
    },
    body: typeof body === "string" ? new TextEncoder().encode(body) : body,
    chunked: options.chunked ?? false,
  });
  const text = reply.body.toString();
  const value: { error?: { code: string }; node_count?: number; benchmarks?: string[] } =
    text === "" ? {} : JSON.parse(text);
  return { status: reply.status, code: value.error?.code, value, headers: reply.headers, text };
}

const create = (body: string | Uint8Array, options?: { chunked: boolean }) =>
  request("POST", JOBS, body, options);
const filled = (bytes: number) => `{"benchmarks":[],"x":"${"y".repeat(bytes - 24)}"}`;

describe("bodies", () => {
  test.for([
    ["broken UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ["deep nesting", `{"benchmarks":${"[".repeat(50_000)}${"]".repeat(50_000)}}`],
    ["an integer beyond 2^53", '{"benchmarks":[],"node_count":9007199254740993}'],
    ["a number that overflows", '{"benchmarks":[],"node_count":1e999}'],
    ["a NUL character", '{"benchmarks":[],"name":"a\\u0000b"}'],
    ["half a character", '{"benchmarks":[],"name":"a\\ud800b"}'],
    ["nothing", ""],
  ] as const)("%s: 400", async ([, body]) => {
    const { status, code, text } = await create(body);
    expect([status, code], text).toEqual([400, "PARAMETER_INCORRECT_VALUE"]);
  });

  test("10 MB, announced or chunked without a length: 413", async () => {
    for (const chunked of [false, true]) {
      const { status, code, text } = await create(filled(10_000_000), { chunked });
      expect([status, code], text).toEqual([413, "REQUEST_TOO_LARGE"]);
    }
  });

  test("chunked without a length, within the limit: as any other", async () => {
    const { status, text } = await create(filled(200_000), { chunked: true });
    expect(status, text).toBe(201);
  });

  test("duplicate keys: the last one counts; __proto__ is only a key", async () => {
    const twice = await create('{"benchmarks":["unknown"],"benchmarks":["quick_mark"]}');
    expect([twice.status, twice.value.benchmarks], twice.text).toEqual([201, ["quick_mark"]]);
    const proto = await create('{"benchmarks":[],"__proto__":{"node_count":9}}');
    expect([proto.status, proto.value.node_count], proto.text).toEqual([201, 1]);
  });
});

describe("URLs and headers", () => {
  test("a query parameter given twice: 400; unknown ones do not matter, however long", async () => {
    const twice = await request("GET", `${JOBS}?page=1&page=2`);
    expect([twice.status, twice.code]).toEqual([400, "PARAMETER_INCORRECT_VALUE"]);
    const long = await request("GET", `${JOBS}?unknown=${"y".repeat(12_000)}`);
    expect(long.status, long.text).toBe(200);
  });

  test("a very long path: 404, an id that is too long: 400", async () => {
    const path = await request("GET", `/${"y".repeat(12_000)}`);
    expect([path.status, path.code]).toEqual([404, "RESOURCE_NOT_FOUND"]);
    const id = await request("GET", `${JOBS}/${"1".repeat(12_000)}`);
    expect([id.status, id.code]).toEqual([400, "PARAMETER_INCORRECT_VALUE"]);
  });

  test("broken percent-encoding and NUL in a path: 400", async () => {
    for (const id of ["%zz", "%ff", "%00"]) {
      const { status, text } = await request("GET", `${JOBS}/${id}`);
      expect(status, text).toBe(400);
    }
  });

  test("a very long header does not matter, a very long token is no token: 401", async () => {
    const long = { "x-long": "y".repeat(12_000) };
    expect((await request("GET", JOBS, null, { headers: long })).status).toBe(200);
    const token = { authorization: `Bearer ${"y".repeat(12_000)}` };
    const refused = await request("GET", JOBS, null, { headers: token });
    expect([refused.status, refused.code]).toEqual([401, "CLIENT_TOKEN_INVALID"]);
  });

  test("a method that the path does not have: 405, with those it has", async () => {
    const { status, code, headers } = await request("DELETE", JOBS);
    expect([status, code]).toEqual([405, "METHOD_NOT_ALLOWED"]);
    expect(headers.allow).toContain("GET");
    expect(headers.allow).toContain("POST");
  });
});
