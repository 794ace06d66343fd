import { z } from "@hono/zod-openapi";
import { operation } from "./operation.ts";
import { json } from "./responses.ts";
import { word } from "./schemas.ts";

const version = z
  .strictObject({
    version: word({
      pattern: /^[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?$/,
      max: 64,
      description: "The version of the server.",
      example: "0.1.0",
    }),
  })
  .openapi("ServerVersion", { description: "Which version of the server answers." });

export const versionRoute = operation({
  method: "get",
  path: "/v0/server/version",
  operationId: "getServerVersion",
  tags: ["Service"],
  summary: "The server's version",
  description:
    "Command-line clients ask for it before anything else. Open to anyone, and limited per address.",
  access: "open",
  responses: {
    200: json(version, { description: "The version.", example: { version: "0.1.0" } }),
  },
});
