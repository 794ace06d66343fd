/** Where reports are in R2, and what they are called. */

/** Everything of one job: cron removes it when the job is deleted. */
function filePrefix(jobId: number): string {
  return `reports/${jobId}/`;
}

/** Keys of a job's files. */
export async function listFiles(bucket: R2Bucket, jobId: number): Promise<Set<string>> {
  const keys = new Set<string>();
  let cursor: string | undefined;
  do {
    const page = await bucket.list({
      prefix: filePrefix(jobId),
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const { key } of page.objects) keys.add(key);
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  return keys;
}

/** The same data has the same hash, and the same bytes: a file is never changed. */
export function fileKey(jobId: number, hash: string): string {
  return `${filePrefix(jobId)}${hash}.pdf`;
}

/**
 * How browsers name the file (RFC 6266): the job's name as it is for those that can, and in plain letters
 * for the others.
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
  // No path, no control character: what a file system could take for more than a name.
  const whole = `assay-${name.replaceAll(/[/\\\p{Cc}:*?"<>|]+/gu, "-")}-${id}${node}.pdf`;
  return `inline; filename="${fallback}"; filename*=UTF-8''${encodeExtended(whole)}`;
}

/** RFC 8187: what `encodeURIComponent` leaves and a header may not hold is escaped, too. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** What part of a file is asked for; null for all of it, as for what is no range of bytes (RFC 9110 §14). */
export type Range = { offset: number; length: number };

/** @returns `unsatisfiable` when nothing of the file lies in it */
export function parseRange(
  header: string | undefined,
  size: number,
): Range | null | "unsatisfiable" {
  // Of several ranges none is served: the whole file answers them, too.
  const found = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? "");
  if (found === null) return null;
  const [, first = "", last = ""] = found;
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
