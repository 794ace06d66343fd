import { z } from "@hono/zod-openapi";
import { namedListQuery } from "../../http/list-query.ts";
import { operation } from "../../http/operation.ts";
import { json, jsonBody } from "../../http/responses.ts";
import { userParameter } from "../people/contract.ts";
import {
  type ApiTokenWire,
  apiToken,
  apiTokenList,
  createApiTokenBody,
  type NewApiTokenWire,
  newApiToken,
  tokenParameter,
} from "./schemas.ts";

const BASE = "/v0/users/{user}/tokens";
const TAGS: [string] = ["API tokens"];

const shared = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  user: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  name: "nightly benchmarks",
};
const times = { creation: "2024-03-15T10:30:00.000Z", expiration: "2024-04-14T10:30:00.000Z" };
const tokenExample: ApiTokenWire = { ...shared, ...times, last_used: null };
const newTokenExample: NewApiTokenWire = {
  ...shared,
  token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
  ...times,
};

const ofUser = z.object({ user: userParameter });
const params = z.object({ user: userParameter, uuid: tokenParameter });

export const listApiTokensRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listApiTokens",
  tags: TAGS,
  summary: "List API tokens",
  description: `A person's API tokens that are not revoked, by name, a page at a time; expired ones, too. Filters combine. A page beyond the last one is empty.

For the person, and for administrators who see the person.`,
  access: "user",
  list: true,
  request: {
    params: ofUser,
    query: namedListQuery("API tokens", "name or UUID", "nightly benchmarks"),
  },
  responses: {
    200: json(apiTokenList, { description: "A page of API tokens.", example: [tokenExample] }),
  },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const createApiTokenRoute = operation({
  method: "post",
  path: BASE,
  operationId: "createApiToken",
  tags: TAGS,
  summary: "Create an API token",
  description: `Creates a token for scripts, which works wherever that of a sign-in does: as the person, with the role that the person has at the time. It works until it expires or is revoked, or the person is locked or deleted.

For the person alone, signed in: an API token makes no others. At most 100 that are not revoked. Unknown keys are ignored. Send an \`Idempotency-Key\` to be able to repeat the request; the repeat shows the same token.`,
  access: "user",
  creates: true,
  request: {
    params: ofUser,
    body: jsonBody(createApiTokenBody, {
      description: "The API token to create.",
      example: { name: "nightly benchmarks", ttl: 2_592_000 },
    }),
  },
  responses: {
    201: json(newApiToken, {
      description: "Created. The token itself is shown only here.",
      example: newTokenExample,
      headers: ["Cache-Control"],
    }),
  },
  errors: ["PERMISSION_DENIED"],
});

export const getApiTokenRoute = operation({
  method: "get",
  path: `${BASE}/{uuid}`,
  operationId: "getApiToken",
  tags: TAGS,
  summary: "View an API token",
  description:
    "One API token, without what only its creation shows.\n\nFor the person, and for administrators who see the person.",
  access: "user",
  single: true,
  request: { params },
  responses: { 200: json(apiToken, { description: "The token.", example: tokenExample }) },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const revokeApiTokenRoute = operation({
  method: "delete",
  path: `${BASE}/{uuid}`,
  operationId: "revokeApiToken",
  tags: TAGS,
  summary: "Revoke an API token",
  description: `Ends an API token: at once where this is answered, within 30 s everywhere.

For the person, and for administrators who manage the person. There is no request body.`,
  access: "user",
  conditional: true,
  request: { params },
  responses: { 204: { description: "Revoked; there is no body." } },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});
