import { createHash } from "node:crypto";
import type { Context, TypedResponse } from "hono";
import type { JSONParsed } from "hono/utils/types";
import type { Page } from "../api/lists.ts";
import { RELEASE } from "../lib/release.ts";
import type { RequestEnv } from "./context.ts";
import { entityTagOf, matchesEntityTag } from "./entity-tag.ts";
import { unavailable } from "./errors.ts";
import { areSmall, fillHoles, fillInMemory } from "./filled-stream.ts";
import { announcePage } from "./paging.ts";
import { type Piece, piecesOf } from "./raw-json.ts";

/** `Retry-After` when stored bytes stop in the middle. */
const RETRY_UNREAD_SECONDS = 2;

declare const written: unique symbol;

/** A reply whose body types cannot check: stored JSON, a file, or nothing. Tests parse it strictly. */
export type WrittenReply = Response & { readonly [written]: true };

/** Marks a response whose body types cannot check. */
export function writtenReply(response: Response): WrittenReply {
  return response as WrittenReply; // the mark exists for the compiler alone
}

/** JSON that is text already. */
export function storedJson<Env extends RequestEnv>(
  c: Context<Env>,
  text: string,
  status: 200 | 201 = 200,
): WrittenReply {
  return writtenReply(c.body(text, status, { "Content-Type": "application/json" }));
}

export function empty<Env extends RequestEnv>(
  c: Context<Env>,
  status: 200 | 204 | 304 = 204,
): WrittenReply {
  return writtenReply(c.body(null, status));
}

type JsonReply<Value> = Response & TypedResponse<JSONParsed<Value>, 200, "json">;

/** As `c.json`, of a value that may hold `rawJson` in memory, or made later. */
export function json<Env extends RequestEnv, Value extends object>(
  c: Context<Env>,
  value: Value,
): JsonReply<Value> {
  return filled(c, piecesOf(value), null) as Response as JsonReply<Value>; // the body is the JSON of `value`
}

/** Stored bytes for the holes of a reply. */
export interface HoleSource {
  /** Offset of the first byte of the stream. */
  from: number;
  /** Opens the stream; fails before the reply has begun. */
  open(): Promise<ReadableStream<Uint8Array> | null>;
  /** Lets go of a stream that is not opened. */
  discard(): void;
}

/**
 * As `single`, of a value with holes: the stored bytes stream into the reply, and are not read for 304 and HEAD.
 *
 * @param tagOf the validator; it is given a hash of everything but the stored bytes
 */
export async function singleFilled<Env extends RequestEnv, Value extends object>(
  c: Context<Env>,
  value: Value,
  source: HoleSource,
  tagOf: (rest: string) => string,
): Promise<JsonReply<Value>> {
  const pieces = piecesOf(value);
  const etag = tagOf(hashOf(pieces));
  c.header("ETag", etag);
  return filledUnlessKnown(c, pieces, source, etag) as Promise<Response> as Promise<
    JsonReply<Value>
  >; // as above
}

/** Pieces filled from the source; 304 and HEAD do not open it. */
export async function filledUnlessKnown<Env extends RequestEnv>(
  c: Context<Env>,
  pieces: readonly Piece[],
  source: HoleSource,
  etag: string,
): Promise<WrittenReply> {
  const isKnown = matchesEntityTag(c.req.header("If-None-Match"), etag);
  if (isKnown || c.req.method === "HEAD") {
    source.discard();
    return isKnown ? empty(c, 304) : storedJson(c, "");
  }
  const stream = await source.open();
  if (!areSmall(pieces)) return filled(c, pieces, stream, source.from);
  try {
    return storedJson(c, await fillInMemory(pieces, stream, source));
  } catch (error) {
    throw unavailable(RETRY_UNREAD_SECONDS, error);
  }
}

/**
 * A hash of everything but the stored bytes, of which only the lengths count. Text that is made later counts by what
 * it is made of.
 */
export function hashOf(pieces: readonly Piece[]): string {
  const hash = createHash("sha256").update(RELEASE);
  for (const piece of pieces) {
    if (typeof piece === "string" || piece instanceof Uint8Array) hash.update(piece);
    else if ("bytes" in piece) hash.update(`:${piece.bytes}:`);
    else for (const text of piece.madeOf ?? []) hash.update(text);
  }
  return hash.digest("base64url").slice(0, 22);
}

function filled<Env extends RequestEnv>(
  c: Context<Env>,
  pieces: readonly Piece[],
  stream: ReadableStream<Uint8Array> | null,
  from = 0,
): WrittenReply {
  if (pieces.every((piece) => typeof piece === "string")) return storedJson(c, pieces.join(""));
  const body = fillHoles(pieces, stream, { from });
  return writtenReply(c.body(body, 200, { "Content-Type": "application/json" }));
}

/**
 * Answers a GET of one resource: JSON with a strong validator, or 304 when the caller holds it already
 * (RFC 9110 §13.1.2). Operations declared `single` answer with it.
 *
 * @param etag by default a hash of the JSON
 */
export function single<Env extends RequestEnv, Value extends object>(
  c: Context<Env>,
  value: Value,
  etag?: string,
): JsonReply<Value> {
  return singleText(c, JSON.stringify(value), etag) as Response as JsonReply<Value>; // as above
}

/** As `single`, of JSON that is text already. */
export function singleText<Env extends RequestEnv>(
  c: Context<Env>,
  text: string,
  etag = entityTagOf(text),
): WrittenReply {
  c.header("ETag", etag);
  return matchesEntityTag(c.req.header("If-None-Match"), etag)
    ? empty(c, 304)
    : storedJson(c, text);
}

/**
 * Answers a request that creates. A repeat of the same `Idempotency-Key` gets the first resource, marked as
 * replayed.
 *
 * @param etag of a resource that has versions
 */
export function created<Env extends RequestEnv, Value extends object>(
  c: Context<Env>,
  value: Value,
  { replayed, etag }: { replayed: boolean; etag?: string },
) {
  if (replayed) c.header("Idempotency-Replayed", "true");
  if (etag !== undefined) c.header("ETag", etag);
  return c.json(value, 201);
}

/** Answers a request that changes one resource, with its new version. */
export function changed<Env extends RequestEnv, Value extends object>(
  c: Context<Env>,
  value: Value,
  etag: string,
) {
  c.header("ETag", etag);
  return c.json(value, 200);
}

/** Answers with a page of a list; the body is its items alone. */
export function list<Env extends RequestEnv, Item extends object>(
  c: Context<Env>,
  page: Page,
  items: Item[],
) {
  announcePage(c, page);
  return c.json(items, 200);
}
