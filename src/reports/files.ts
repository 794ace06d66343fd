/** Keys of report files in R2, names of downloads, and ranges of bytes. */
import type { ByteRange } from "../db/bucket.ts";

/** The prefix of a job's keys, by which cron removes its files when the job is deleted. */
export function filePrefix(jobId: number): string {
  return `reports/${jobId}/`;
}

/** Files are immutable: the same data has the same hash and the same bytes. */
export function fileKey(jobId: number, hash: string): string {
  return `${filePrefix(jobId)}${hash}.pdf`;
}

/**
 * The `Content-Disposition` of a file (RFC 6266): the job's full name in `filename*`, and ASCII for clients that
 * read only `filename`.
 */
export function contentDisposition({
  name,
  id,
  rank,
}: {
  name: string;
  id: number;
  rank: number | null;
}): string {
  const node = rank === null ? "" : `-node-${rank}`;
  const plain = name
    .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
    .replaceAll(/^[-.]+|-+$/g, "")
    .slice(0, 80);
  const fallback = `assay-${plain === "" ? id : `${plain}-${id}`}${node}.pdf`;
  // Without path separators, control characters, and characters reserved by file systems.
  const whole = `assay-${name.replaceAll(/[/\\\p{Cc}:*?"<>|]+/gu, "-")}-${id}${node}.pdf`;
  return `inline; filename="${fallback}"; filename*=UTF-8''${encodeExtended(whole)}`;
}

/** RFC 8187 escapes some characters that `encodeURIComponent` leaves. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/**
 * The range of bytes of a `Range` header (RFC 9110 §14). Null for the whole file, which is also the answer to
 * several ranges and to other units; `unsatisfiable` for a range beyond the file.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | null | "unsatisfiable" {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? "");
  if (match === null) return null;
  const [, first = "", last = ""] = match;
  if (first === "") {
    if (last === "") return null;
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { offset: size - length, length };
  }
  const offset = Number(first);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== "" && Number(last) < offset) return null;
  return offset >= size ? "unsatisfiable" : { offset, length: end - offset + 1 };
}
