import type { Context } from "hono";
import type { RequestEnv } from "./context.ts";
import { ApiError } from "./errors.ts";
import { type WrittenReply, writtenReply } from "./replies.ts";

/** The channels' subprotocol: a client that offers any is answered this one, or none. */
const SUBPROTOCOL = "assay.v1";

/** True for a request that asks for a WebSocket. */
export function isUpgrade<Env extends RequestEnv>(c: Context<Env>): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

export function requireUpgrade<Env extends RequestEnv>(c: Context<Env>): void {
  if (isUpgrade(c)) return;
  throw new ApiError("UPGRADE_REQUIRED", "This path is a WebSocket: send Upgrade: websocket", {
    headers: { Upgrade: "websocket", Connection: "Upgrade" },
  });
}

/** 101 with the client's end of a socket. */
export function upgraded<Env extends RequestEnv>(
  c: Context<Env>,
  webSocket: WebSocket,
): WrittenReply {
  const offered = (c.req.header("sec-websocket-protocol") ?? "")
    .split(",")
    .map((each) => each.trim());
  const headers = new Headers();
  if (offered.includes(SUBPROTOCOL)) headers.set("Sec-WebSocket-Protocol", SUBPROTOCOL);
  return writtenReply(new Response(null, { status: 101, webSocket, headers }));
}
