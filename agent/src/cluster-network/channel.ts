import type { Socket } from "node:net";

/** A frame is a 32-bit payload length, one byte of type, and the payload. */
export const FRAME = {
  hello: 1,
  challenge: 2,
  proof: 3,
  /** "Alive, but busy with an earlier round." Only updates `heardAt`. */
  here: 4,
  ready: 5,
  ping: 6,
  pong: 7,
  /** Counted and thrown away, never stored. */
  data: 8,
  end: 9,
  report: 10,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

export interface Frame {
  type: number;
  payload: Buffer;
}

const HEADER_BYTES = 5;
const MAX_CONTROL_BYTES = 256;
export const DATA_BYTES = 256 * 1024;
/** All that a peer may send before it has proved itself: a greeting is below 100, what follows it little more. */
const MAX_UNPROVED_BYTES = 1_024;
/** The protocol is call and response; a peer with more unread frames is not following it. */
const MAX_UNREAD_FRAMES = 8;

/** A link that did not work; the message is short plain text and becomes the measurement's error. */
export class LinkError extends Error {}

export interface Channel {
  send(type: FrameType, payload?: Uint8Array): void;
  /** Writes one ready-made frame; false when the socket is full, until `onDrain` is called. */
  write(frame: Uint8Array): boolean;
  /** The next control frame, or null when none came in time. @throws LinkError when closed */
  next(withinMs: number): Promise<Frame | null>;
  /** From now on the peer has proved itself and may send data. */
  trust(): void;
  /** `performance.now()` of the last bytes of any kind. */
  heardAt(): number;
  isOpen(): boolean;
  /** Ends the channel at once; whoever waits on it sees `reason`. Harmless when closed already. */
  close(reason: string): void;
  onData: (bytes: number, at: number) => void;
  onDrain: () => void;
  onClose: (error: LinkError) => void;
}

/** A finished frame, header and payload. */
export function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeUInt8(type, 4);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Frames over one TCP connection. It owns the socket. */
export function createChannel(socket: Socket): Channel {
  let trusted = false;
  let unprovedBytes = 0;
  let closed: LinkError | null = null;
  let heardAt = performance.now();
  const unread: Frame[] = [];
  let waiting: {
    resolve: (frame: Frame | null) => void;
    reject: (error: LinkError) => void;
  } | null = null;

  const shut = (reason: string): void => {
    if (closed !== null) return;
    closed = new LinkError(reason);
    socket.destroy();
    const waiter = waiting;
    waiting = null;
    waiter?.reject(closed);
    channel.onClose(closed);
  };

  const take = (frame: Frame): void => {
    if (frame.type === FRAME.here) return;
    if (waiting !== null) {
      const waiter = waiting;
      waiting = null;
      waiter.resolve(frame);
    } else if (unread.length < MAX_UNREAD_FRAMES) {
      unread.push(frame);
    } else {
      shut("the other node sent too much");
    }
  };

  const allowed = (type: number, length: number): boolean =>
    type === FRAME.data ? trusted && length <= DATA_BYTES : length <= MAX_CONTROL_BYTES;
  const parse = createParser({
    allowed,
    take,
    refuse: () => shut("the other node broke the protocol"),
  });

  const channel: Channel = {
    send: (type, payload = Buffer.alloc(0)) => {
      channel.write(encodeFrame(type, payload));
    },
    write: (frame) => closed === null && socket.write(frame),
    next: async (withinMs) => {
      const ready = unread.shift();
      if (ready !== undefined) return ready;
      if (closed !== null) throw closed;
      let timer: NodeJS.Timeout | undefined;
      try {
        return await new Promise<Frame | null>((resolve, reject) => {
          waiting = { resolve, reject };
          timer = setTimeout(() => {
            waiting = null;
            resolve(null);
          }, withinMs);
        });
      } finally {
        clearTimeout(timer);
      }
    },
    trust: () => {
      trusted = true;
    },
    heardAt: () => heardAt,
    isOpen: () => closed === null,
    close: shut,
    onData: () => {},
    onDrain: () => {},
    onClose: () => {},
  };

  // Without this, small frames wait for the peer's delayed acknowledgement and ping measures that.
  socket.setNoDelay(true);
  socket.on("data", (chunk: Buffer) => {
    heardAt = performance.now();
    if (!trusted) {
      unprovedBytes += chunk.length;
      if (unprovedBytes > MAX_UNPROVED_BYTES) return shut("the greeting is too long");
    }
    const dataBytes = parse(chunk);
    if (dataBytes > 0) channel.onData(dataBytes, heardAt);
  });
  socket.on("drain", () => channel.onDrain());
  socket.on("error", (error: NodeJS.ErrnoException) => shut(`connection lost (${error.code})`));
  socket.on("close", () => shut("the other node closed the connection"));
  return channel;
}

/** Feeds on chunks as TCP delivers them; answers how many payload bytes of data frames each held. */
function createParser(on: {
  allowed: (type: number, length: number) => boolean;
  take: (frame: Frame) => void;
  refuse: () => void;
}): (chunk: Buffer) => number {
  let dataLeft = 0;
  let pending: Buffer = Buffer.alloc(0);
  let refused = false;

  return (chunk) => {
    let dataBytes = 0;
    let rest = chunk;
    while (rest.length > 0 && !refused) {
      if (dataLeft > 0) {
        const bytes = Math.min(dataLeft, rest.length);
        dataLeft -= bytes;
        dataBytes += bytes;
        rest = rest.subarray(bytes);
        continue;
      }
      // At most a header and a control payload are ever held back.
      const needed =
        pending.length < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + pending.readUInt32BE(0);
      const bytes = Math.min(needed - pending.length, rest.length);
      pending = Buffer.concat([pending, rest.subarray(0, bytes)]);
      rest = rest.subarray(bytes);
      if (pending.length < HEADER_BYTES) break;

      const length = pending.readUInt32BE(0);
      const type = pending.readUInt8(4);
      if (!on.allowed(type, length)) {
        refused = true;
        on.refuse();
      } else if (type === FRAME.data) {
        dataLeft = length;
        pending = Buffer.alloc(0);
      } else if (pending.length === HEADER_BYTES + length) {
        const payload = pending.subarray(HEADER_BYTES);
        pending = Buffer.alloc(0);
        on.take({ type, payload });
      }
    }
    return dataBytes;
  };
}
