/** Where cuBLASLt is looked for, on machines that are made for it. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findCublasLt } from "../../../agent/src/gpu/find-libraries.ts";

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "assay-find-")));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function put(path: string): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  writeFileSync(file, "");
  return file;
}

const PIP = "usr/local/lib/python3.11/dist-packages/nvidia/cublas/lib/libcublasLt.so.12";
const TOOLKIT = "usr/local/cuda-12.8/lib64/libcublasLt.so.12";

describe("on a whole machine", () => {
  test("PyTorch's copy comes before that of a toolkit", () => {
    const toolkit = put(TOOLKIT);
    const pip = put(PIP);
    expect(findCublasLt({}, null, root)).toEqual([pip, toolkit]);
  });

  test.each([
    ["CUDA 13 packages", "usr/lib/python3/dist-packages/nvidia/cu13/lib/libcublasLt.so.13", {}],
    [
      "torch's own folder",
      "opt/conda/lib/python3.12/site-packages/torch/lib/libcublasLt.so.12",
      {},
    ],
    [
      "an environment of conda",
      "opt/conda/envs/x/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
      {},
    ],
    [
      "a user's packages",
      join(
        homedir(),
        ".local/lib/python3.11/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
      ).slice(1),
      {},
    ],
    [
      "an active environment",
      "srv/env/lib/python3.13/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
      { VIRTUAL_ENV: "/srv/env" },
    ],
    [
      "the loader's folders",
      "srv/cuda/libcublasLt.so.12.8.4",
      { LD_LIBRARY_PATH: "relative::/srv/cuda" },
    ],
    ["a Debian package", "usr/lib/x86_64-linux-gnu/libcublasLt.so.11", {}],
  ])("%s", (_, path, env) => {
    const file = put(path);
    expect(findCublasLt(env, null, root)).toEqual([file]);
  });

  test("other files have other names", () => {
    put(join(dirname(TOOLKIT), "libcublasLt.so"));
    put(join(dirname(TOOLKIT), "libcublas.so.12"));
    put(join(dirname(TOOLKIT), "libcublasLt.so.12.old"));
    put(join(dirname(TOOLKIT), "libcublasLt_static.a"));
    expect(findCublasLt({}, null, root)).toEqual([]);
  });

  test("links lead to one file, which is listed once; one that leads nowhere is passed over", () => {
    const file = put(join(dirname(TOOLKIT), "libcublasLt.so.12.8.4"));
    symlinkSync(file, join(root, TOOLKIT));
    symlinkSync("none", join(dirname(file), "libcublasLt.so.13"));
    symlinkSync(join(root, "usr/local/cuda-12.8"), join(root, "usr/local/cuda"));
    expect(findCublasLt({}, null, root)).toEqual([file]);
  });

  test("a folder with very many entries is not searched", () => {
    const file = put("usr/lib64/libcublasLt.so.12");
    for (let i = 0; i < 10_000; i++) writeFileSync(join(dirname(file), `${i}`), "");
    expect(findCublasLt({}, null, root)).toEqual([]);
  });
});

test("with a named folder nothing else is looked at", () => {
  put(PIP);
  const own = put("srv/mine/libcublasLt.so.12");
  expect(findCublasLt({}, "/srv/mine", root)).toEqual([own]);
  expect(findCublasLt({}, "/srv/none", root)).toEqual([]);
});

test("what others could have written is never opened", () => {
  const file = put(TOOLKIT);
  chmodSync(file, 0o777);
  expect(findCublasLt({}, null, root)).toEqual([]);
  chmodSync(file, 0o755);
  chmodSync(dirname(file), 0o777);
  expect(findCublasLt({}, null, root)).toEqual([]);
  chmodSync(dirname(file), 0o755);
  expect(findCublasLt({}, null, root)).toEqual([file]);
});

test("nor what a foreign group could have written; one's own is no foreign one", ({ skip }) => {
  const file = put(TOOLKIT);
  chmodSync(file, 0o775);
  expect(findCublasLt({}, null, root)).toEqual([file]);
  if (process.getuid?.() !== 0) skip("only root gives files to another group");
  chownSync(file, 0, 54_321);
  expect(findCublasLt({}, null, root)).toEqual([]);
  chmodSync(file, 0o755);
  expect(findCublasLt({}, null, root)).toEqual([file]);
});
