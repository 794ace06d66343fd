import { z } from "@hono/zod-openapi";
import { credentialListQuery } from "../../api/lists.ts";
import { TTL_ALIASES } from "../../api/names.ts";
import { json, jsonBody, operation } from "../../api/operation.ts";
import { userParameter } from "../people/contract.ts";
import {
  type ApiTokenWire,
  apiToken,
  apiTokenList,
  type CreatedApiTokenWire,
  createApiTokenBody,
  createdApiToken,
  TOKEN_MASK,
  tokenParameter,
  updateApiTokenBody,
} from "./schemas.ts";

const BASE = "/v0/users/{user}/tokens";
const TAGS: [string] = ["API tokens"];

const facts = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  user: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  name: "nightly benchmarks",
  scope: "write" as const,
  creation: "2024-03-15T10:30:00.000Z",
  expiration: "2024-04-14T10:30:00.000Z",
};
const tokenExample: ApiTokenWire = { ...facts, token: TOKEN_MASK, revoked: null, last_used: null };
const newTokenExample: CreatedApiTokenWire = {
  ...facts,
  token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
};

const ofUser = z.object({ user: userParameter });
const params = z.object({ user: userParameter, uuid: tokenParameter });

export const listApiTokensRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listApiTokens",
  tags: TAGS,
  summary: "List API tokens",
  description: `Lists a person's API tokens by name, a page at a time. Expired tokens are included; revoked tokens are listed only by \`revoked=true\` alone. Filters combine. A page beyond the last page is empty.

For the person, and for administrators who see the person.`,
  access: "user",
  list: true,
  request: {
    params: ofUser,
    query: credentialListQuery("API tokens", "nightly benchmarks"),
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
  description: `Creates a token for scripts. It works with the person's current role until it expires or is revoked, or the person is locked or deleted. It changes no people, customers, passwords, tokens or keys, whatever its scope.

Only for yourself, with a session. A person can have at most 100 tokens that are not revoked. Unknown keys are ignored. Send an \`Idempotency-Key\` to repeat the request safely; the repeat returns the same token.`,
  access: "user",
  session: "any",
  secret: true,
  creates: true,
  aliases: TTL_ALIASES,
  request: {
    params: ofUser,
    body: jsonBody(createApiTokenBody, {
      description: "The API token to create.",
      example: { name: "nightly benchmarks", ttl: 2_592_000 },
    }),
  },
  responses: {
    201: json(createdApiToken, {
      description: "Created. The token is shown only in this reply.",
      example: newTokenExample,
      headers: ["Cache-Control"],
    }),
  },
});

export const getApiTokenRoute = operation({
  method: "get",
  path: `${BASE}/{uuid}`,
  operationId: "getApiToken",
  tags: TAGS,
  summary: "View an API token",
  description:
    "Returns one API token, without the token itself. A revoked token can be seen for 30 days.\n\nFor the person, and for administrators who see the person.",
  access: "user",
  single: true,
  request: { params },
  responses: { 200: json(apiToken, { description: "The token.", example: tokenExample }) },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const updateApiTokenRoute = operation({
  method: "patch",
  path: `${BASE}/{uuid}`,
  operationId: "updateApiToken",
  tags: TAGS,
  summary: "Rename an API token",
  description: `Changes the name of an API token that is not revoked. The token itself stays the same.

For the person, and for administrators who manage the person, with a session. Unknown keys are ignored.`,
  access: "user",
  session: "any",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateApiTokenBody, {
      description: "The new name.",
      example: { name: "weekly benchmarks" },
    }),
  },
  responses: {
    200: json(apiToken, {
      description: "The renamed token.",
      example: { ...tokenExample, name: "weekly benchmarks" },
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const revokeApiTokenRoute = operation({
  method: "delete",
  path: `${BASE}/{uuid}`,
  operationId: "revokeApiToken",
  tags: TAGS,
  summary: "Revoke an API token",
  description: `Revokes an API token. This takes effect immediately in the region that served the request, and everywhere within 30 seconds. The token stays listed, as revoked, for 30 days.

For the person, and for administrators who manage the person, with a session. There is no request body.`,
  access: "user",
  session: "any",
  conditional: true,
  request: { params },
  responses: { 204: { description: "Revoked. The reply has no body." } },
  errors: ["RESOURCE_NOT_FOUND"],
});
