import { z } from "@hono/zod-openapi";
import { json, operation } from "../api/operation.ts";
import { patternText } from "../api/schemas.ts";

const document = z
  .looseObject({
    openapi: patternText({
      pattern: /^3\.1\.[0-9]+$/,
      max: 16,
      description: "The version of OpenAPI.",
      example: "3.1.0",
    }),
  })
  .openapi("ApiDocument", { description: "An OpenAPI document: this one." });

export const serverSpecRoute = operation({
  method: "get",
  path: "/v0/server/spec",
  operationId: "getServerSpec",
  tags: ["Service"],
  summary: "View the API document",
  description:
    "Returns this API document, as `/openapi.json` does, at the address that published command-line clients use.\n\nOpen to anyone; limited per IP address.",
  access: "open",
  single: true,
  responses: {
    200: json(document, { description: "The document.", example: { openapi: "3.1.0" } }),
  },
});
