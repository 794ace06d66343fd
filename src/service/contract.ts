import { z } from "@hono/zod-openapi";
import { json, operation } from "../api/operation.ts";
import { patternText } from "../api/schemas.ts";
import { COMPATIBLE_CLIENT } from "../lib/release.ts";

const health = z
  .strictObject({ status: z.literal("ok").openapi({ description: "The service answers." }) })
  .openapi("Health", { description: "The state of the service." });

export const healthRoute = operation({
  method: "get",
  path: "/health",
  operationId: "getHealth",
  tags: ["Service"],
  summary: "Check the health of the service",
  description:
    "Reads the database once: 200 if it answers, 503 if it does not. For load balancers and start scripts.\n\nOpen to anyone; limited per IP address.",
  access: "open",
  responses: {
    200: json(health, { description: "The service answers.", example: { status: "ok" } }),
  },
});

const VERSION = /^[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?$/;

const version = z
  .strictObject({
    version: patternText({
      pattern: VERSION,
      max: 64,
      description:
        "The version of the published command-line client that the server is compatible with.",
      example: COMPATIBLE_CLIENT,
    }),
    assay: patternText({
      pattern: VERSION,
      max: 64,
      description: "The server's own release.",
      example: "0.1.0",
    }),
  })
  .openapi("ServerVersion", { description: "The versions of the server." });

export const versionRoute = operation({
  method: "get",
  path: "/v0/server/version",
  operationId: "getServerVersion",
  tags: ["Service"],
  summary: "View the server's version",
  description:
    "Returns the version of the published command-line client that the server is compatible with; that client warns of any other `version` than its own.\n\nOpen to anyone; limited per IP address.",
  access: "open",
  responses: {
    200: json(version, {
      description: "The version.",
      example: { version: COMPATIBLE_CLIENT, assay: "0.1.0" },
    }),
  },
});
