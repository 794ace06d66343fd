import { z } from "@hono/zod-openapi";
import { operation } from "./operation.ts";
import { json } from "./responses.ts";

const health = z
  .strictObject({ status: z.literal("ok").openapi({ description: "The service answers." }) })
  .openapi("Health", { description: "The state of the service." });

export const healthRoute = operation({
  method: "get",
  path: "/health",
  operationId: "getHealth",
  tags: ["Service"],
  summary: "Whether the service answers",
  description:
    "Makes one read of the database: 200 when it answers, 503 when it does not. For load balancers and start scripts; open to anyone, and limited per address.",
  access: "open",
  responses: {
    200: json(health, { description: "The service answers.", example: { status: "ok" } }),
  },
});
