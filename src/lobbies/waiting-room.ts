/** The inside of a lobby. */
import { createMeter, type Database, openDatabase } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { type Clock, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { readConfig } from "../lib/config.ts";
import { logEvent } from "../lib/log.ts";
import { lobbyOf, RENEW_MS, type Turned, type Waiting } from "./protocol.ts";
import { admitRunner, closeLobby, releaseRunners, renewLobby } from "./store.ts";

/** Far below the platform's bound on the sockets of an object. */
const MAX_WAITING = 10_000;
/** Pings come every minute at the latest: however short the lease is, an open socket may be silent for so long. */
const SILENCE_MS = 150 * SECOND_MS;
/** After a failure of D1. */
const RETRY_MS = MINUTE_MS;

/** Codes of closed sockets (docs/contract.md, "The runner channel"). */
const CLOSE = {
  binary: 1003,
  refused: 1008,
  replaced: 4001,
  revoked: 4003,
  silent: 4008,
} as const;

const WORK = JSON.stringify({ type: "work" });

/** Kept by the platform beside the socket while the object sleeps. */
interface Attachment {
  socketId: string;
  id: number;
  uuid: string;
  openedAt: number;
  wokenAt: number;
}

interface Waiter extends Attachment {
  readonly socket: WebSocket;
}

/** A runner whose socket is about to open; its key may be replaced meanwhile. */
interface Opening {
  id: number;
  uuid: string;
  isDismissed: boolean;
}

export class WaitingRoom {
  readonly #ctx: DurableObjectState;
  readonly #db: Database;
  readonly #clock: Clock;
  /** A runner whose pings are missing for longer has gone. */
  readonly #leaseMs: number;
  readonly #opening = new Set<Opening>();
  #waiters: Waiter[];
  /** Runners that D1 has still to be told of, and when each was last heard, by id. */
  #gone = new Map<number, number>();
  #telling: Promise<void> | null = null;

  constructor(ctx: DurableObjectState, env: Env, clock: Clock) {
    this.#ctx = ctx;
    this.#db = openDatabase(env.DB, createMeter());
    this.#clock = clock;
    this.#leaseMs = Math.max(readConfig(env).nodeTimeoutMs, SILENCE_MS);
    this.#waiters = ctx.getWebSockets().flatMap((socket) => {
      const attachment: Attachment | null = socket.deserializeAttachment();
      return attachment === null ? [] : [{ ...attachment, socket }];
    });
    if (this.#waiters.length > 0) this.#answerPings();
  }

  #answerPings(): void {
    this.#ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  /** Opens a socket for a runner that D1 still knows so. One round trip, one row. */
  async admit(request: Request): Promise<WebSocket | Turned> {
    const waiting: Waiting = JSON.parse(request.headers.get("waiting") ?? "{}");
    if (this.#waiters.length + this.#opening.size >= MAX_WAITING) return "full";
    const opening = { id: waiting.id, uuid: waiting.uuid, isDismissed: false };
    this.#opening.add(opening);
    const turned = await this.#enter(waiting, opening);
    this.#opening.delete(opening);
    if (turned !== null) {
      // Its older socket may have gone meanwhile.
      await this.#leave(waiting.id, this.#clock.now());
      return turned;
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.#accept(server, waiting);
    return client;
  }

  /** Tells D1 of a runner that comes; answers why it gets no socket, or null. */
  async #enter(waiting: Waiting, opening: Opening): Promise<Turned | null> {
    const name = lobbyOf(waiting.offered);
    try {
      await this.#begin(waiting.offered);
      // What D1 is being told of an older socket must not come after this.
      await this.#telling;
      const isAdmitted = await admitRunner(this.#db, name, waiting, this.#clock.now());
      return isAdmitted && !opening.isDismissed ? null : "stale";
    } catch (error) {
      logEvent("warn", "lobby_failed", { lobby: name, causes: causesOf(error) });
      return "unavailable";
    }
  }

  /** Notes which lobby this is, and sets the alarm, for the first runner. */
  async #begin(offered: readonly string[]): Promise<void> {
    const { storage } = this.#ctx;
    if ((await storage.getAlarm()) !== null) return;
    await storage.put("offered", offered);
    await storage.setAlarm(this.#clock.now() + RENEW_MS);
  }

  #accept(socket: WebSocket, { id, uuid }: Waiting): void {
    this.#answerPings();
    this.#ctx.acceptWebSocket(socket);
    // Also the socket of a runner that was dismissed while it was opened, and is back.
    for (const older of this.#waiters.filter((each) => each.uuid === uuid)) {
      this.#close(older, CLOSE.replaced, "the runner has opened another socket");
    }
    const socketId = crypto.randomUUID();
    const waiter = { socketId, id, uuid, openedAt: this.#clock.now(), wokenAt: 0, socket };
    this.#waiters.push(waiter);
    this.#gone.delete(id);
    save(waiter);
  }

  /** See `LobbyCalls`. */
  wake(count: number, runners: readonly number[]): number {
    const now = this.#clock.now();
    const named = new Set(runners);
    const others = this.#waiters
      .filter(({ id }) => !named.has(id))
      .sort((a, b) => a.wokenAt - b.wokenAt || a.openedAt - b.openedAt);
    const tell = (waiter: Waiter) => {
      waiter.wokenAt = now;
      save(waiter);
      return send(waiter, WORK);
    };
    for (const waiter of this.#waiters) if (named.has(waiter.id)) tell(waiter);
    let told = 0;
    for (const waiter of others) {
      if (told >= count) break;
      if (tell(waiter)) told++;
    }
    return told;
  }

  /** See `LobbyCalls`. */
  async dismiss(uuid: string): Promise<void> {
    for (const opening of this.#opening) if (opening.uuid === uuid) opening.isDismissed = true;
    const waiter = this.#waiters.find((each) => each.uuid === uuid);
    if (waiter === undefined) return;
    this.#close(waiter, CLOSE.revoked, "the runner's key or offers have changed");
    await this.#leave(waiter.id, this.#clock.now());
  }

  /** A runner that waits has nothing to say but `ping`, which never comes here. */
  async hear(socket: WebSocket, sent: string | ArrayBuffer): Promise<void> {
    const waiter = this.#find(socket);
    if (waiter === undefined) return;
    const isText = typeof sent === "string";
    const message = isText
      ? "a waiting runner sends the text ping, and nothing else"
      : "messages are text, not binary";
    send(waiter, JSON.stringify({ type: "error", message }));
    this.#close(waiter, isText ? CLOSE.refused : CLOSE.binary, message);
    await this.#leave(waiter.id, this.#clock.now());
  }

  /** The runner has closed its socket, or the connection has broken. */
  async end(socket: WebSocket): Promise<void> {
    const waiter = this.#find(socket);
    if (waiter === undefined) return;
    this.#close(waiter, 1000, "");
    await this.#leave(waiter.id, this.#clock.now());
  }

  /** The alarm: closes sockets that are silent, and renews what D1 knows. Never throws: the next alarm repeats it. */
  async look(): Promise<void> {
    const { storage } = this.#ctx;
    const offered = (await storage.get<string[]>("offered")) ?? [];
    const name = lobbyOf(offered);
    let next = RENEW_MS;
    try {
      await this.#closeSilent();
      const present = this.#waiters.map(({ id }) => id);
      const isEmpty = present.length + this.#opening.size === 0;
      if (isEmpty) {
        await closeLobby(this.#db, name, offered);
        if (this.#opening.size === 0) return;
      }
      await renewLobby(this.#db, name, offered, present, this.#clock.now());
    } catch (error) {
      logEvent("warn", "lobby_failed", { lobby: name, causes: causesOf(error) });
      next = RETRY_MS;
    }
    await storage.setAlarm(this.#clock.now() + next);
  }

  async #closeSilent(): Promise<void> {
    const now = this.#clock.now();
    const silent = this.#waiters.flatMap((waiter) => {
      const at = Math.max(waiter.openedAt, this.#pingedAt(waiter));
      return now - at > this.#leaseMs ? [{ waiter, at }] : [];
    });
    for (const { waiter, at } of silent) {
      this.#close(waiter, CLOSE.silent, "no ping for longer than a lease");
      this.#gone.set(waiter.id, at);
    }
    await this.#tell();
  }

  /** Time of its latest ping, by the platform's clock, ms; 0 before the first. */
  #pingedAt({ socket }: Waiter): number {
    return this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
  }

  #find(socket: WebSocket): Waiter | undefined {
    const attachment: Attachment | null = socket.deserializeAttachment();
    return this.#waiters.find(({ socketId }) => socketId === attachment?.socketId);
  }

  #close(closing: Waiter, code: number, reason: string): void {
    this.#waiters = this.#waiters.filter((each) => each !== closing);
    closing.socket.serializeAttachment(null);
    try {
      closing.socket.close(code, reason);
    } catch {
      // It was closed from the other side.
    }
  }

  /** Tells D1 that a runner's socket has gone, unless it has another one, or is about to. */
  async #leave(id: number, at: number): Promise<void> {
    if ([...this.#waiters, ...this.#opening].some((each) => each.id === id)) return;
    this.#gone.set(id, at);
    await this.#tell();
  }

  /** One statement at a time: all that go meanwhile are in the next one. */
  #tell(): Promise<void> {
    this.#telling ??= this.#tellAll().finally(() => {
      this.#telling = null;
    });
    return this.#telling;
  }

  async #tellAll(): Promise<void> {
    while (this.#gone.size > 0) {
      const gone = [...this.#gone];
      this.#gone.clear();
      const offered = (await this.#ctx.storage.get<string[]>("offered")) ?? [];
      const name = lobbyOf(offered);
      try {
        await releaseRunners(this.#db, name, gone);
      } catch (error) {
        // The alarm compares what D1 knows with who is here.
        logEvent("warn", "lobby_failed", { lobby: name, causes: causesOf(error) });
      }
    }
  }
}

function save({ socket, socketId, id, uuid, openedAt, wokenAt }: Waiter): void {
  socket.serializeAttachment({ socketId, id, uuid, openedAt, wokenAt } satisfies Attachment);
}

/** True if the socket is open, as far as this side knows. */
function send({ socket }: Waiter, text: string): boolean {
  try {
    socket.send(text);
    return true;
  } catch {
    // Its end comes as an event of its own.
    return false;
  }
}
