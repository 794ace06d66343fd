import { operation } from "../api/operation.ts";
import type { CallCoordinator, CallerPlace } from "../coordinator/client.ts";
import type { Refusal } from "../coordinator/wire/protocol.ts";
import { serve } from "../http/serve.ts";
import { requireUpgrade, upgraded } from "../http/upgrade.ts";
import { refuse } from "./refusals.ts";

/** A WebSocket, which OpenAPI cannot describe: docs/contract.md does, in "The node channel". */
export const channelRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/jobs/current/channel",
  operationId: "openCurrentChannel",
  tags: ["Node protocol"],
  summary: "The node's socket",
  description: "See docs/contract.md.",
  access: "node",
  secret: true,
  responses: {},
});

/** Connects a node with its job's object, and leaves the two alone. */
export const channelRoutes = ({ callCoordinator }: { callCoordinator: CallCoordinator }) => [
  serve(channelRoute, async (c) => {
    requireUpgrade(c);
    const { jobId } = c.get("pass");
    const target = {
      jobId,
      meter: c.get("meter"),
      place: c.req.raw.cf as CallerPlace | undefined,
    };
    const { webSocket, refusal } = await callCoordinator(target, async (coordinator) => {
      const request = new Request(`https://coordinator/channel?job=${jobId}`, {
        headers: { Upgrade: "websocket" },
      });
      const reply = await coordinator.fetch(request);
      // `as`: without a socket, the body is the refusal (see `Coordinator`).
      const refusal = reply.webSocket === null ? ((await reply.json()) as Refusal) : null;
      return { webSocket: reply.webSocket, refusal };
    });
    return webSocket === null
      ? refuse(refusal ?? { ok: false, reason: "unavailable" }, {})
      : upgraded(c, webSocket);
  }),
];
