import { operation, SWITCHED } from "../api/operation.ts";
import type { CallCoordinator, CallerPlace } from "../coordinator/client.ts";
import type { Refusal } from "../coordinator/wire/protocol.ts";
import { serve } from "../http/serve.ts";
import { requireUpgrade, upgraded } from "../http/upgrade.ts";
import { refuse } from "./refusals.ts";

/** A WebSocket: docs/contract.md describes its messages, in "The node channel". */
export const channelRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/jobs/current/channel",
  operationId: "openCurrentChannel",
  tags: ["Node protocol"],
  summary: "Follow the job",
  description: `Opens the WebSocket of one task, for a request with \`Upgrade: websocket\`. The first message of the client, within 10 seconds, is \`{"type":"hello","task_id","task_token"}\`; the server sends \`{"type":"view","etag","view"}\`, with the body of a poll, whenever the node's view changes. The client may send \`{"type":"progress","progress","message"}\` every 5 seconds, and the text \`ping\` every 30 to 60 seconds; the answer is \`pong\`. Joins and results use HTTP.

Requires the job's token, in the header \`Authorization\` or as the subprotocol \`bearer.<token>\` beside \`assay.v1\`.`,
  access: "node",
  secret: true,
  responses: { 101: SWITCHED },
  errors: ["UPGRADE_REQUIRED", "JOB_ENDED"],
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
