/** The signed data of a report, out of its file. */
import type { Bucket } from "../db/bucket.ts";
import { notFound } from "../http/errors.ts";
import type { Later } from "../http/raw-json.ts";
import type { HoleSource } from "../http/replies.ts";
import { SECOND_MS } from "../lib/clock.ts";
import { withTimeout } from "../lib/retry.ts";
import { fileKey } from "./files.ts";
import type { ReportRecord } from "./lookup-store.ts";

/** A file that sends nothing for this long has failed. */
const STALLED_MS = 60 * SECOND_MS;

/**
 * The reply's JSON: what the file embeds, after the hash of the file. It streams, since that of a large job has
 * megabytes; `source` opens the file before the reply begins.
 */
export function dataOf(bucket: Bucket, report: ReportRecord): { piece: Later; source: HoleSource } {
  const { jobId, hash, fileSha256, dataOffset: offset, dataBytes: length } = report;
  let file: ReadableStream<Uint8Array> | null = null;
  async function* later() {
    if (file === null) return;
    const reader = file.pipeThrough(new DecompressionStream("deflate")).getReader();
    const decoder = new TextDecoder();
    // In place of the brace that opens what is embedded.
    yield `{"pdf_sha256":"${fileSha256}",`;
    let skipped = 1;
    try {
      for (;;) {
        const next = withTimeout(reader.read(), STALLED_MS, "the next stored bytes");
        const { done, value } = await next;
        if (done) break;
        yield decoder.decode(value.subarray(skipped), { stream: true });
        if (value.length > 0) skipped = 0;
      }
    } finally {
      void reader.cancel().catch(() => {}); // a file that has failed cannot be cancelled
    }
  }
  const source: HoleSource = {
    from: 0,
    open: async () => {
      file = await bucket.stream(fileKey(jobId, hash), { offset, length });
      // Files of older reports are removed; their hashes stay known.
      if (file === null) throw notFound("Data of the report", hash);
      return null;
    },
    discard: () => {},
  };
  return { piece: { later }, source };
}
