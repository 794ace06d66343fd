import { DurableObject } from "cloudflare:workers";
import { systemClock } from "../lib/clock.ts";
import type { LobbyCalls } from "./protocol.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/**
 * Holds the sockets of waiting runners that offer the same specs, and only wakes them. It sleeps while nothing happens:
 * pings are answered without it. Its code loads with its first call.
 */
export class Lobby extends DurableObject<Env> implements LobbyCalls {
  #room: WaitingRoom | null = null;

  async #open(): Promise<WaitingRoom> {
    const { WaitingRoom } = await import("./waiting-room.ts");
    this.#room ??= new WaitingRoom(this.ctx, this.env, systemClock);
    return this.#room;
  }

  /** See `LobbyCalls`. */
  override async fetch(request: Request): Promise<Response> {
    const opened = await (await this.#open()).admit(request);
    return typeof opened === "string"
      ? Response.json(opened)
      : new Response(null, { status: 101, webSocket: opened });
  }

  async wake(count: number, runners: readonly number[]): Promise<number> {
    return (await this.#open()).wake(count, runners);
  }

  async dismiss(uuid: string): Promise<void> {
    await (await this.#open()).dismiss(uuid);
  }

  override async webSocketMessage(socket: WebSocket, sent: string | ArrayBuffer): Promise<void> {
    await (await this.#open()).hear(socket, sent);
  }

  override async webSocketClose(socket: WebSocket): Promise<void> {
    await (await this.#open()).end(socket);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await (await this.#open()).end(socket);
  }

  override async alarm(): Promise<void> {
    await (await this.#open()).look();
  }
}
