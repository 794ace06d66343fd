import { randomBytes } from "node:crypto";
import type { Bounds } from "./bounds.ts";
import { type Channel, DATA_BYTES, encodeFrame, FRAME, type Frame, LinkError } from "./channel.ts";

/** One directed link, as its source saw it. */
export interface LinkFigures {
  /** 10^9 bits per second that the target received. */
  bandwidth_gbps: number;
  /** Median round trip in milliseconds. */
  latency_ms: number;
}

export interface MeasureOptions {
  /** Least streaming time of one direction. */
  durationMs: number;
  bounds: Bounds;
}

/** Odd, so that the median is a real round trip. */
const PING_COUNT = 21;

/** Random bytes, so that a link that compresses gains nothing; made once for all streams. */
let dataFrame: Buffer | null = null;

/**
 * Both directions of a pair, one after the other: first the connector is the source, then the
 * acceptor. Both sides call it once both are ready.
 *
 * @returns the figures of the direction whose source is this node
 * @throws LinkError
 */
export async function measurePair(
  channel: Channel,
  role: "connector" | "acceptor",
  options: MeasureOptions,
): Promise<LinkFigures> {
  if (role === "acceptor") {
    await serveAsTarget(channel, options);
    return measureAsSource(channel, options);
  }
  const figures = await measureAsSource(channel, options);
  try {
    await serveAsTarget(channel, options);
  } catch (error) {
    // The other direction is the partner's to report; this node's own figures stand.
    if (!(error instanceof LinkError)) throw error;
  }
  return figures;
}

async function measureAsSource(channel: Channel, options: MeasureOptions): Promise<LinkFigures> {
  const latencyMs = await ping(channel, options.bounds);
  const gbps = await stream(channel, options);
  return { bandwidth_gbps: sixDigits(gbps), latency_ms: sixDigits(latencyMs) };
}

async function ping(channel: Channel, bounds: Bounds): Promise<number> {
  const deadline = performance.now() + bounds.pingMs;
  const roundTrips: number[] = [];
  for (let i = 0; i < PING_COUNT; i++) {
    const sentAt = performance.now();
    channel.send(FRAME.ping);
    const frame = await channel.next(Math.max(0, deadline - sentAt));
    if (frame === null) throw timedOut("pings were not answered", bounds.pingMs);
    requireType(frame, FRAME.pong);
    roundTrips.push(performance.now() - sentAt);
  }
  roundTrips.sort((a, b) => a - b);
  return roundTrips[(PING_COUNT - 1) / 2] ?? Number.NaN;
}

/**
 * Streams until the target reports. The target's count is what makes the figure: bytes that this
 * side handed to its kernel have been delivered to nobody yet.
 */
async function stream(channel: Channel, options: MeasureOptions): Promise<number> {
  dataFrame ??= encodeFrame(FRAME.data, randomBytes(DATA_BYTES));
  const frame = dataFrame;
  let sentBytes = 0;
  let streaming = true;
  const pump = (): void => {
    if (!streaming || !channel.isOpen()) return;
    sentBytes += DATA_BYTES;
    // Through the event loop even when the socket takes everything, or the report is never read.
    if (channel.write(frame)) setImmediate(pump);
  };
  channel.onDrain = () => setImmediate(pump);
  const startedAt = performance.now();
  pump();
  try {
    const withinMs = options.durationMs + options.bounds.stallMs;
    const report = await channel.next(withinMs);
    if (report === null) throw timedOut("data was not received", withinMs);
    requireType(report, FRAME.report);
    const { bytes, elapsedMs } = decodeReport(report);
    const possible = bytes <= sentBytes && elapsedMs <= performance.now() - startedAt;
    if (!possible || elapsedMs < options.durationMs) {
      throw new LinkError("the other node reported an impossible count");
    }
    return (bytes * 8) / (elapsedMs * 1e6);
  } finally {
    streaming = false;
    channel.onDrain = () => {};
    channel.send(FRAME.end);
  }
}

async function serveAsTarget(channel: Channel, options: MeasureOptions): Promise<void> {
  const { bounds, durationMs } = options;
  const deadline = performance.now() + bounds.pingMs;
  const pinged = async (): Promise<void> => {
    const frame = await channel.next(Math.max(0, deadline - performance.now()));
    if (frame === null) throw timedOut("no pings came", bounds.pingMs);
    requireType(frame, FRAME.ping);
  };
  for (let i = 1; i < PING_COUNT; i++) {
    await pinged();
    channel.send(FRAME.pong);
  }
  await pinged();
  // Listen before the last answer leaves: data may follow on its heels.
  const counted = countData(channel, durationMs, bounds);
  channel.send(FRAME.pong);
  channel.send(FRAME.report, encodeReport(await counted));
  // Data already under way must be gone before the other direction is measured.
  const end = await nextWhileAlive(channel, bounds.stallMs, Number.POSITIVE_INFINITY);
  if (end === null) throw timedOut("the stream did not end", bounds.stallMs);
  requireType(end, FRAME.end);
}

interface Count {
  bytes: number;
  elapsedMs: number;
}

/**
 * Counts from the end of the first read to the end of the first read at least `durationMs` later. The
 * first read's bytes only start the clock: the time they took is not known. Sound at any speed, since
 * only bytes that arrived between the two instants count, and a pause between them counts as time.
 */
function countData(channel: Channel, durationMs: number, bounds: Bounds): Promise<Count> {
  return new Promise((resolve, reject) => {
    let startedAt: number | null = null;
    let bytes = 0;
    const finish = (): void => {
      clearTimeout(stall);
      channel.onData = () => {};
      channel.onClose = () => {};
    };
    const stall = setTimeout(() => {
      finish();
      reject(timedOut("no data came", bounds.stallMs));
    }, bounds.stallMs);
    channel.onClose = (error) => {
      finish();
      reject(error);
    };
    channel.onData = (count, at) => {
      stall.refresh();
      if (startedAt === null) {
        startedAt = at;
        return;
      }
      bytes += count;
      if (at - startedAt < durationMs) return;
      finish();
      resolve({ bytes, elapsedMs: at - startedAt });
    };
  });
}

/**
 * The next control frame from a peer that may be busy for long, as long as it gives signs of life at
 * least every `silenceMs` and `deadline` (`performance.now()`) has not passed; else null.
 */
export async function nextWhileAlive(
  channel: Channel,
  silenceMs: number,
  deadline: number,
): Promise<Frame | null> {
  while (true) {
    const now = performance.now();
    const remaining = Math.min(deadline, channel.heardAt() + silenceMs) - now;
    if (remaining <= 0) return null;
    const frame = await channel.next(Math.ceil(remaining));
    if (frame !== null) return frame;
  }
}

/** Two doubles: bytes, milliseconds. */
function encodeReport({ bytes, elapsedMs }: Count): Buffer {
  const payload = Buffer.alloc(16);
  payload.writeDoubleBE(bytes, 0);
  payload.writeDoubleBE(elapsedMs, 8);
  return payload;
}

function decodeReport({ payload }: Frame): Count {
  if (payload.length !== 16) throw new LinkError("the other node broke the protocol");
  return { bytes: payload.readDoubleBE(0), elapsedMs: payload.readDoubleBE(8) };
}

function requireType(frame: Frame, type: number): void {
  if (frame.type !== type) throw new LinkError("the other node broke the protocol");
}

function timedOut(what: string, ms: number): LinkError {
  return new LinkError(`${what} within ${ms / 1000} s`);
}

/** More digits would be noise. */
function sixDigits(value: number): number {
  return Number(value.toPrecision(6));
}
