import type { Clock } from "../../lib/clock.ts";
import type { Contact } from "../life/model.ts";

/** The node that a socket speaks for. */
export interface SocketNode {
  rank: number;
  /** Epoch of its task token, see `speaksFor`. */
  epoch: number | null;
  /** Validator of the view that the client has. */
  etag: string;
  contact: Contact;
  /** Time up to which its progress messages have used their allowance, ms. */
  paidUntil: number;
}

/** Kept by the platform beside the socket while the object sleeps; at most 2,048 bytes. */
interface Attachment {
  id: string;
  jobId: number;
  openedAt: number;
  /** Null before the client's hello. */
  node: SocketNode | null;
}

export interface OpenSocket extends Attachment {
  readonly socket: WebSocket;
}

/** The job's open sockets, which outlive the object's memory. */
export class OpenSockets {
  readonly #ctx: DurableObjectState;
  readonly #clock: Clock;
  #open: OpenSocket[];

  constructor(ctx: DurableObjectState, clock: Clock) {
    this.#ctx = ctx;
    this.#clock = clock;
    this.#open = ctx.getWebSockets().flatMap((socket) => {
      const attachment: Attachment | null = socket.deserializeAttachment();
      return attachment === null ? [] : [{ ...attachment, socket }];
    });
    // Costs nothing, and wakes nobody. Answers the text `ping` alone.
    if (this.#open.length > 0) this.#answerPings();
  }

  /** Takes a socket whose client has not said yet which node it is. */
  accept(socket: WebSocket, jobId: number): OpenSocket {
    this.#answerPings();
    this.#ctx.acceptWebSocket(socket);
    const id = crypto.randomUUID();
    const opened = { id, jobId, openedAt: this.#clock.now(), node: null, socket };
    this.#open.push(opened);
    this.save(opened);
    return opened;
  }

  #answerPings(): void {
    this.#ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  /** All that are open, oldest first. */
  all(): readonly OpenSocket[] {
    return this.#open;
  }

  find(socket: WebSocket): OpenSocket | undefined {
    const known = this.#open.find((each) => each.socket === socket);
    if (known !== undefined) return known;
    const attachment: Attachment | null = socket.deserializeAttachment();
    return this.#open.find(({ id }) => id === attachment?.id);
  }

  ofRank(rank: number): OpenSocket | undefined {
    return this.#open.find(({ node }) => node?.rank === rank);
  }

  /** Keeps what the socket knows for the time when the object sleeps. */
  save({ socket, id, jobId, openedAt, node }: OpenSocket): void {
    socket.serializeAttachment({ id, jobId, openedAt, node } satisfies Attachment);
  }

  /** Forgets a socket: it is closed, or about to be. */
  remove(gone: OpenSocket): void {
    this.#open = this.#open.filter((each) => each !== gone);
  }

  /** Closes a socket, which speaks for no node from now on. */
  close(closing: OpenSocket, code: number, reason: string): void {
    this.remove(closing);
    closing.socket.serializeAttachment(null);
    try {
      closing.socket.close(code, reason);
    } catch {
      // It was closed from the other side.
    }
  }

  /** Time of its client's latest ping, by the platform's clock, ms; 0 before the first. */
  pingedAt({ socket }: OpenSocket): number {
    return this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
  }
}
