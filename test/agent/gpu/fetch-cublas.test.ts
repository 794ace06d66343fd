/** `--fetch-cublas`: what is fetched is what is pinned, or nothing is used. */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fetchCublas, PINNED, type PinnedLibrary } from "../../../agent/src/gpu/fetch-cublas.ts";

const MEMBER = "nvidia/cublas/lib/libcublasLt.so.12";
const LIBRARY = Buffer.alloc(200_000, "a library of products ");

/** An archive of deflated files, as a wheel is one. */
function zip(files: Readonly<Record<string, Buffer>>): Buffer {
  const parts: Buffer[] = [];
  const entries: Buffer[] = [];
  let at = 0;
  for (const [name, bytes] of Object.entries(files)) {
    const data = deflateRawSync(bytes);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), data]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    entries.push(
      Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), common, rest, Buffer.from(name)]),
    );
    parts.push(local);
    at += local.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, directory, end]);
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const WHEEL = zip({ "nvidia/cublas/lib/libcublas.so.12": Buffer.from("x"), [MEMBER]: LIBRARY });

let folder: string;
let server: Server;
let requests: string[];
/** Replaces the reply of the whole file. */
let reply: RequestListener | null;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "assay-fetch-"));
  requests = [];
  reply = null;
  server = createServer((request, response) => {
    requests.push(request.url ?? "");
    if (reply === null) response.end(WHEEL);
    else reply(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

function fetchIt(pinned: Partial<PinnedLibrary> = {}, signal = new AbortController().signal) {
  const { port } = server.address() as AddressInfo; // `as`: a TCP server that listens has one
  return fetchCublas({
    env: { XDG_CACHE_HOME: folder },
    roots: null,
    say: () => {},
    signal,
    pinned: {
      url: `http://127.0.0.1:${port}/wheel`,
      sha256: sha256(WHEEL),
      librarySha256: sha256(LIBRARY),
      bytes: WHEEL.length,
      libraryBytes: LIBRARY.length,
      ...pinned,
    },
  });
}

/** All files below the cache. */
const left = (): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);

test("is fetched once, and checked each time", async () => {
  const place = await fetchIt();
  const file = join(place, "libcublasLt.so.12");
  expect(readFileSync(file).equals(LIBRARY)).toBe(true);
  expect(left()).toEqual(["libcublasLt.so.12"]);
  expect(statSync(place).mode & 0o077).toBe(0);
  expect(await fetchIt()).toBe(place);
  expect(requests).toEqual(["/wheel"]);
  writeFileSync(file, "something else");
  await fetchIt();
  expect(readFileSync(file).equals(LIBRARY)).toBe(true);
  expect(requests).toHaveLength(2);
});

test("what is pinned is named whole: PyPI's address has a checksum of its own", () => {
  expect(Object.keys(PINNED)).toEqual(["x64", "arm64"]);
  for (const { url, sha256: whole, librarySha256 } of Object.values(PINNED)) {
    expect(url).toMatch(
      /^https:\/\/files\.pythonhosted\.org\/packages\/[0-9a-f]{2}\/[0-9a-f]{2}\/[0-9a-f]{60}\/nvidia_cublas_cu12-[\d.]+-py3-none-manylinux_2_27_(x86_64|aarch64)\.whl$/,
    );
    for (const checksum of [whole, librarySha256]) expect(checksum).toMatch(/^[0-9a-f]{64}$/);
  }
});

test("redirects are followed, three of them", async () => {
  reply = ({ url = "" }, response) => {
    const step = Number(url.slice(2)) || 0;
    if (step === 3) response.end(WHEEL);
    else response.writeHead(302, { location: `/r${step + 1}` }).end();
  };
  await fetchIt();
  expect(requests).toEqual(["/wheel", "/r1", "/r2", "/r3"]);
});

const other = zip({ [MEMBER]: Buffer.from("another library") });
const empty = zip({ "another/file": LIBRARY });
const junk = Buffer.from("no archive");

describe("leaves nothing behind and says why", () => {
  test.each<[string, RequestListener | null, Partial<PinnedLibrary>, RegExp]>([
    [
      "another file",
      (_, response) => response.end(WHEEL.subarray(1)),
      {},
      /sent another file: its SHA-256 is [0-9a-f]{64}/,
    ],
    ["not found", (_, response) => response.writeHead(404).end(), {}, /answered 404/],
    [
      "redirects for ever",
      (_, response) => response.writeHead(301, { location: "/" }).end(),
      {},
      /redirects more than 3 times/,
    ],
    [
      "a redirect to a file",
      (_, response) => response.writeHead(301, { location: "file:///etc/passwd" }).end(),
      {},
      /file: is not supported/,
    ],
    [
      "too much",
      (_, response) => response.end(Buffer.alloc(WHEEL.length + 1)),
      {},
      /sent more than/,
    ],
    [
      "cut off",
      (_, response) =>
        void response
          .writeHead(200, { "content-length": WHEEL.length })
          .write(WHEEL.subarray(0, 99), () => response.destroy()),
      {},
      /aborted|closed|reset/i,
    ],
    [
      "no archive",
      (_, response) => response.end(junk),
      { sha256: sha256(junk) },
      /not a zip archive/,
    ],
    [
      "an archive without the library",
      (_, response) => response.end(empty),
      { sha256: sha256(empty), bytes: 1e6 },
      /is not in the zip archive/,
    ],
    [
      "an archive with another library",
      (_, response) => response.end(other),
      { sha256: sha256(other) },
      /not the pinned one/,
    ],
    ["no room on the disk", null, { libraryBytes: 2 ** 62 }, /has no room/],
  ])("%s", async (_, listener, pinned, message) => {
    reply = listener;
    await expect(fetchIt(pinned)).rejects.toThrow(message);
    expect(left()).toEqual([]);
  });

  test("a signal that ends the agent", async () => {
    const stop = new AbortController();
    reply = (_, response) => {
      response.write(WHEEL.subarray(0, 99));
      stop.abort(new Error("SIGTERM"));
    };
    await expect(fetchIt({}, stop.signal)).rejects.toThrow();
    expect(left()).toEqual([]);
  });

  test("a cache that others may write to", async () => {
    const shared = join(folder, `assay-${process.getuid?.()}`);
    writeFileSync(shared, "");
    await expect(fetchIt()).rejects.toThrow(/is not private to this user/);
    expect(existsSync(shared)).toBe(true);
    expect(requests).toEqual([]);
  });
});
