import type { IncomingMessage } from "node:http";
import { clip } from "../log.ts";

/** Replies of the API are far smaller. */
const MAX_REPLY_BYTES = 4 * 2 ** 20;
/** Of a page that is not the server's; its title stands here. */
const MAX_PAGE_BYTES = 2_048;
/** For the same page, which may never end. */
const PAGE_WITHIN_MS = 1_000;
const MAX_WORDS = 100;

/** @throws when the body is larger than 4 MiB, breaks off or cannot be decompressed */
export async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop destroys the connection.
    if (bytes > MAX_REPLY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return new TextDecoder().decode(await inflated(Buffer.concat(chunks)));
}

/**
 * As much of a body as a line of the log can use, nothing of a compressed one. Never throws; closes the connection
 * if there is more.
 */
export function readBeginning(response: IncomingMessage): Promise<string> {
  const isReadable = (response.headers["content-encoding"] ?? "identity") === "identity";
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = (): void => {
      clearTimeout(timer);
      if (!response.complete) response.destroy();
      const page = isReadable ? Buffer.concat(chunks).subarray(0, MAX_PAGE_BYTES) : undefined;
      resolve(new TextDecoder().decode(page));
    };
    const timer = setTimeout(done, PAGE_WITHIN_MS);
    // Stays: no error may be without a listener.
    response.on("error", done);
    response.once("close", done);
    response.once("end", done);
    response.on("data", (chunk: Buffer) => {
      if (bytes > MAX_PAGE_BYTES) return;
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_PAGE_BYTES) done();
    });
  });
}

/** The first words of a page or text of a stranger, fit for one line: no markup, nothing invisible. */
export function firstWords(text: string): string {
  const plain = text
    .replace(/<(script|style)\b.*?(<\/\1>|$)/gis, " ")
    .replace(/<[^>]*(>|$)/g, " ")
    .replace(/[\p{C}\p{Z}\s\uFFFD]+/gu, " ")
    // Nobody's words; but it may be a token that the page repeats, whole or in part.
    .replace(/[\w.~+=-]{32,}/g, "…")
    .trim();
  return clip(plain, MAX_WORDS);
}

/** Some gateways compress what nobody asked them to. JSON never begins like gzip. */
async function inflated(body: Buffer): Promise<Buffer> {
  if (body[0] !== 0x1f || body[1] !== 0x8b) return body;
  const { gunzipSync } = await import("node:zlib");
  try {
    return gunzipSync(body, { maxOutputLength: MAX_REPLY_BYTES });
  } catch (error) {
    const isLarge = error instanceof RangeError;
    throw isLarge ? tooLarge() : new Error("the reply is compressed and damaged");
  }
}

function tooLarge(): Error {
  return new Error("the reply is larger than 4 MiB");
}
