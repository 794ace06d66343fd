import { z } from "@hono/zod-openapi";
import { credentialListQuery } from "../../api/lists.ts";
import { TTL_ALIASES } from "../../api/names.ts";
import { json, jsonBody, operation } from "../../api/operation.ts";
import { userParameter } from "../people/contract.ts";
import {
  type CreatedUserKeyWire,
  createdUserKey,
  createUserKeyBody,
  keyParameter,
  type UserKeyWire,
  updateUserKeyBody,
  userKey,
  userKeyList,
} from "./schemas.ts";

const BASE = "/v0/users/{user}/keys";
const TAGS: [string] = ["API keys"];

const facts = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  user: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  name: "nightly benchmarks",
  scope: "write" as const,
  creation: "2024-03-15T10:30:00.000Z",
  expiration: "2024-04-14T10:30:00.000Z",
};
const keyExample: UserKeyWire = { ...facts, revoked: null, last_used: null };
const newKeyExample: CreatedUserKeyWire = {
  ...facts,
  key: "bencher_user_0123456789abcdefghijABCDEFGHIJ",
};

const ofUser = z.object({ user: userParameter });
const params = z.object({ user: userParameter, key: keyParameter });

export const listUserKeysRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listUserKeys",
  tags: TAGS,
  summary: "List API keys",
  description: `Lists a person's API keys by name, a page at a time. Expired keys are included; revoked keys are listed only by \`revoked=true\` alone. Filters combine. A page beyond the last page is empty.

For the person, and for administrators who see the person.`,
  access: "user",
  list: true,
  request: {
    params: ofUser,
    query: credentialListQuery("API keys", "nightly benchmarks"),
  },
  responses: {
    200: json(userKeyList, { description: "A page of API keys.", example: [keyExample] }),
  },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const createUserKeyRoute = operation({
  method: "post",
  path: BASE,
  operationId: "createUserKey",
  tags: TAGS,
  summary: "Create an API key",
  description: `Creates a key for scripts. It works with the person's current role until it expires or is revoked, or the person is locked or deleted. It changes no people, customers, passwords, tokens or keys, whatever its scope. Published command-line clients accept it where they accept no API token.

Only for yourself, with a session. A person can have at most 100 keys that are not revoked. Unknown fields are ignored. Send an \`Idempotency-Key\` to repeat the request without creating a second key; the repeat cannot show the key again.`,
  access: "user",
  session: "any",
  secret: true,
  creates: true,
  aliases: TTL_ALIASES,
  request: {
    params: ofUser,
    body: jsonBody(createUserKeyBody, {
      description: "The API key to create.",
      example: { name: "nightly benchmarks", ttl: 2_592_000 },
    }),
  },
  responses: {
    201: json(createdUserKey, {
      description: "Created. The key is shown only in this reply.",
      example: newKeyExample,
      headers: ["Cache-Control"],
    }),
  },
});

export const getUserKeyRoute = operation({
  method: "get",
  path: `${BASE}/{key}`,
  operationId: "getUserKey",
  tags: TAGS,
  summary: "View an API key",
  description:
    "Returns one API key, without the key itself. A revoked key can be seen for 30 days.\n\nFor the person, and for administrators who see the person.",
  access: "user",
  single: true,
  request: { params },
  responses: { 200: json(userKey, { description: "The key.", example: keyExample }) },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const updateUserKeyRoute = operation({
  method: "patch",
  path: `${BASE}/{key}`,
  operationId: "updateUserKey",
  tags: TAGS,
  summary: "Rename an API key",
  description: `Changes the name of an API key that is not revoked. The key itself stays the same.

For the person, and for administrators who manage the person, with a session. Unknown fields are ignored.`,
  access: "user",
  session: "any",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateUserKeyBody, {
      description: "The new name.",
      example: { name: "weekly benchmarks" },
    }),
  },
  responses: {
    200: json(userKey, {
      description: "The renamed key.",
      example: { ...keyExample, name: "weekly benchmarks" },
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const revokeUserKeyRoute = operation({
  method: "delete",
  path: `${BASE}/{key}`,
  operationId: "revokeUserKey",
  tags: TAGS,
  summary: "Revoke an API key",
  description: `Revokes an API key. This takes effect immediately in the region that served the request, and everywhere within 30 seconds. The key stays listed, as revoked, for 30 days.

For the person, and for administrators who manage the person, with a session. There is no request body.`,
  access: "user",
  session: "any",
  conditional: true,
  request: { params },
  responses: { 204: { description: "Revoked. The reply has no body." } },
  errors: ["RESOURCE_NOT_FOUND"],
});
