/** The FFI addon on its way from the bundle into the process. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadAddon, type PackedAddon, unpack } from "../../../agent/src/gpu/addon.ts";
import { encodeBase85 } from "../../../agent/src/gpu/base85.ts";
import { koffiFfi } from "../../../agent/src/gpu/ffi.ts";
import { addonLicence, packAddons } from "../../../scripts/lib/addons.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-addon-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function packed(text: string): PackedAddon {
  const bytes = Buffer.from(text);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const compressed = brotliCompressSync(bytes);
  return { sha256, data: encodeBase85(compressed), size: compressed.length };
}

const ADDON = packed("an addon");

describe("unpacking", () => {
  test("writes the file once, for this user alone", () => {
    const place = join(folder, "own");
    const file = unpack(ADDON, place);
    expect(readFileSync(file, "utf8")).toBe("an addon");
    expect(statSync(place).mode & 0o777).toBe(0o700);
    const { ino } = statSync(file);
    expect(unpack(ADDON, place)).toBe(file);
    expect(statSync(file).ino).toBe(ino);
    expect(readdirSync(place)).toHaveLength(1);
  });

  test("a file that somebody changed is replaced", () => {
    const file = unpack(ADDON, join(folder, "own"));
    writeFileSync(file, "something else");
    unpack(ADDON, join(folder, "own"));
    expect(readFileSync(file, "utf8")).toBe("an addon");
  });

  test("another addon has another file: an older agent may run still", () => {
    const place = join(folder, "own");
    expect(unpack(packed("a newer addon"), place)).not.toBe(unpack(ADDON, place));
    expect(readdirSync(place)).toHaveLength(2);
  });

  test("a bundle that is damaged runs nothing", () => {
    const { sha256 } = ADDON;
    const damaged = { ...packed("another"), sha256 };
    expect(() => unpack(damaged, join(folder, "own"))).toThrow(/damaged/);
    expect(readdirSync(join(folder, "own"))).toEqual([]);
  });

  test("a folder that others may write to, and one behind a link, are refused", () => {
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    expect(() => unpack(ADDON, open)).toThrow(/is not private to this user/);
    symlinkSync(open, join(folder, "link"));
    expect(() => unpack(ADDON, join(folder, "link"))).toThrow(/is not private to this user/);
    expect(readdirSync(open)).toEqual([]);
  });
});

describe("loading", () => {
  const linux = { platform: "linux-x64", isMusl: false };
  const addons = { "linux-x64": ADDON, "linux-arm64": ADDON };

  test("says in one sentence what a machine lacks", () => {
    expect(() => loadAddon({}, addons, { ...linux, isMusl: true })).toThrow(
      "GPUs cannot be measured on musl (Alpine): NVIDIA's driver needs glibc",
    );
    expect(() => loadAddon({}, addons, { ...linux, platform: "darwin-arm64" })).toThrow(
      "GPUs can be measured only on linux-x64 and linux-arm64, but this is darwin-arm64",
    );
    expect(() => loadAddon({}, null, linux)).toThrow(/built without its FFI/);
  });

  test("tries every folder, and says what came of each", () => {
    writeFileSync(join(folder, "file"), "");
    const env = { XDG_CACHE_HOME: join(folder, "file") };
    // No text is an addon, wherever it lies.
    expect(() => loadAddon(env, addons, linux)).toThrow(/cannot be loaded \(.*file: .*\/tmp: .*\)/);
  });

  test("koffi's own calls C: bound functions, absent ones, texts and addresses", ({ skip }) => {
    const platform = `${process.platform}-${process.arch}`;
    if (platform !== "linux-x64") skip(`${platform} has no libc.so.6 of this kind`);
    const ffi = koffiFfi(loadAddon({ XDG_CACHE_HOME: folder }, packAddons()));
    expect(ffi.name).toMatch(/^koffi \d+\.\d+\.\d+$/);
    const libc = ffi.open("libc.so.6", {
      getpid: ["i32"],
      strlen: ["u64", "ptr"],
      strerror: ["ptr", "i32"],
      no_such_function: ["i32"],
    });
    expect(libc.getpid?.()).toBe(process.pid);
    expect(Number(libc.strlen?.(Buffer.from("twelve bytes\0")))).toBe(12);
    expect(ffi.text(BigInt(libc.strerror?.(2) ?? 0))).toMatch(/no such file/i);
    expect(libc.no_such_function).toBeNull();
    const bytes = Buffer.from("abc\0");
    expect(ffi.text(ffi.address(bytes))).toBe("abc");
    expect(() => ffi.open("libnone.so.1", {})).toThrow(/cannot open shared object file/);
    expect(() => koffiFfi({})).toThrow(/not koffi/);
  });
});

test("nothing is built without both addons as the lockfile names them", () => {
  expect(() => packAddons(folder)).toThrow(/is missing: run node scripts\/install\.mjs/);
  const [, name = ""] = /([\w.-]+\.tgz) is missing/.exec(messageOf(() => packAddons(folder))) ?? [];
  writeFileSync(join(folder, name), "another archive");
  expect(() => packAddons(folder)).toThrow(/does not have the pinned checksum/);
});

function messageOf(act: () => unknown): string {
  try {
    act();
    return "";
  } catch (error) {
    return String(error);
  }
}

test("the bundle has both platforms and the licence of what it carries", () => {
  expect(Object.keys(packAddons())).toEqual(["linux-x64", "linux-arm64"]);
  expect(addonLicence()).toMatch(/MIT License(.|\n)*Permission is hereby granted/i);
});
