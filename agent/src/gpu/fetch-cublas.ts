/**
 * `--fetch-cublas`: the one cuBLASLt that this agent pins, from NVIDIA's package on PyPI, so that all machines multiply with
 * the same version. Nothing is used whose SHA-256 is not the one below.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  createWriteStream,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  type WriteStream,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";
import { makeFolder } from "../files.ts";
import { download } from "../http/download.ts";
import { ownFolder } from "./addon.ts";
import { findInZip } from "./zip.ts";

export interface PinnedLibrary {
  url: string;
  /** Of the package, and of the library in it, in hex. */
  sha256: string;
  librarySha256: string;
  bytes: number;
  libraryBytes: number;
}

const VERSION = "12.8.4.1";
const PYPI = "https://files.pythonhosted.org/packages";
const MEMBER = "nvidia/cublas/lib/libcublasLt.so.12";
const FILE = "libcublasLt.so.12";

/** By Node's name of the processor. The checksums of packages are those of PyPI's index. */
export const PINNED: Readonly<Record<string, PinnedLibrary>> = {
  x64: {
    url: `${PYPI}/dc/61/e24b560ab2e2eaeb3c839129175fb330dfcfc29e5203196e5541a4c44682/nvidia_cublas_cu12-${VERSION}-py3-none-manylinux_2_27_x86_64.whl`,
    sha256: "8ac4e771d5a348c551b2a426eda6193c19aa630236b418086020df5ba9667142",
    librarySha256: "10b5e6631cf8115c661eb895ed1533826308b58f7956466f53d236a40c9b622c",
    bytes: 594_346_921,
    libraryBytes: 751_771_728,
  },
  arm64: {
    url: `${PYPI}/29/99/db44d685f0e257ff0e213ade1964fc459b4a690a73293220e98feb3307cf/nvidia_cublas_cu12-${VERSION}-py3-none-manylinux_2_27_aarch64.whl`,
    sha256: "b86f6dd8935884615a0683b663891d43781b819ac4f2ba2b0c9604676af346d0",
    librarySha256: "f69ee07d8c15af104635736afb7a0cd2200f9c72afdb78b70e17acecb49247f4",
    bytes: 590_537_124,
    libraryBytes: 719_857_760,
  },
};

export interface FetchTools {
  env: Record<string, string | undefined>;
  /** More certificates to trust, as PEM; null for Node's own alone. */
  roots: string[] | null;
  say: (message: string) => void;
  signal: AbortSignal;
  pinned?: PinnedLibrary | undefined;
}

/**
 * The folder with the pinned cuBLASLt, fetched if it is not there.
 *
 * @throws with a message for people when it cannot be had, or is not what is pinned; nothing is left then
 */
export async function fetchCublas(tools: FetchTools): Promise<string> {
  const { env, roots, say, signal, pinned = PINNED[process.arch] } = tools;
  if (process.platform !== "linux" || pinned === undefined) {
    throw new Error(`there is no cuBLAS for ${process.platform}-${process.arch}`);
  }
  const cache = env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const parent = ownFolder(join(cache, `assay-${process.getuid?.() ?? 0}`));
  const folder = join(parent, `cublas-${VERSION}`);
  makeFolder(folder, 0o700);
  const file = join(folder, FILE);
  if ((await sha256Of(file, signal)) === pinned.librarySha256) return folder;
  const room = statfsSync(folder);
  const needed = pinned.bytes + pinned.libraryBytes;
  if (room.bavail * room.bsize < needed) {
    throw new Error(
      `${folder} has no room for ${gigabytes(needed)}; set XDG_CACHE_HOME to another folder`,
    );
  }
  const url = env.ASSAY_CUBLAS_URL || pinned.url;
  say(`fetching cuBLAS ${VERSION} (${gigabytes(pinned.bytes)}) from ${new URL(url).host}`);
  const [wheel, draft] = [`${file}.${process.pid}.whl`, `${file}.${process.pid}`];
  try {
    await fetchFile(new URL(url), wheel, pinned, { env, roots, signal });
    await unpack(wheel, draft, signal);
    if ((await sha256Of(draft, signal)) !== pinned.librarySha256) {
      throw new Error("the library in the package is not the pinned one");
    }
    renameSync(draft, file);
  } finally {
    rmSync(wheel, { force: true });
    rmSync(draft, { force: true });
  }
  return folder;
}

async function fetchFile(
  url: URL,
  path: string,
  { sha256, bytes }: PinnedLibrary,
  way: Pick<FetchTools, "env" | "roots" | "signal">,
): Promise<void> {
  const hash = createHash("sha256");
  const body = await download(url, way, bytes);
  await pipeline(
    body,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        yield chunk;
      }
    },
    writeNew(path, 0o600),
    { signal: way.signal },
  );
  const found = hash.digest("hex");
  if (found !== sha256) {
    throw new Error(`${url.host} sent another file: its SHA-256 is ${found}, not ${sha256}`);
  }
}

/** Opened at once: a stream that opens later could make the file after it was removed. */
function writeNew(path: string, mode: number): WriteStream {
  return createWriteStream(path, { fd: openSync(path, "wx", mode) });
}

async function unpack(wheel: string, to: string, signal: AbortSignal): Promise<void> {
  const fd = openSync(wheel, "r");
  try {
    const { start, end } = findInZip(fd, MEMBER);
    const from = createReadStream("", { fd, start, end: end - 1, autoClose: false });
    await pipeline(from, createInflateRaw(), writeNew(to, 0o700), { signal });
  } finally {
    closeSync(fd);
  }
}

/** Null for a file that cannot be read. */
async function sha256Of(file: string, signal: AbortSignal): Promise<string | null> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(file), hash, { signal });
  } catch {
    signal.throwIfAborted();
    return null;
  }
  return hash.digest("hex");
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
