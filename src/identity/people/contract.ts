import { z } from "@hono/zod-openapi";
import { namedListQuery } from "../../http/list-query.ts";
import { operation } from "../../http/operation.ts";
import { referenceParameter } from "../../http/reference.ts";
import { json, jsonBody } from "../../http/responses.ts";
import {
  changePasswordBody,
  createUserBody,
  passwordLink,
  setPasswordBody,
  type UserWire,
  updateUserBody,
  user,
  userList,
} from "./schemas.ts";

const BASE = "/v0/users";
const TAGS: [string] = ["People"];

const userExample: UserWire = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  email: "ada@example.com",
  name: "Ada Lovelace",
  slug: "ada",
  role: "user",
  customer: {
    uuid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    name: "Example Labs",
    slug: "example-labs",
  },
  locked: false,
  created: "2024-03-15T10:30:00.000Z",
  modified: "2024-03-15T10:30:00.000Z",
};

/** A person in a path; `me` is a word that no slug can be. */
export const userParameter = referenceParameter("user", {
  description: "The person's UUID, in any usual spelling, or slug; `me` for the caller.",
  example: "ada",
});

const params = z.object({ user: userParameter });

/** Who manages whom, in the words of every operation that is about it. */
const MANAGERS =
  "For administrators: root administrators manage everyone, others the people of their own customer whose role is not above theirs.";

export const listUsersRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listUsers",
  tags: TAGS,
  summary: "List people",
  description: `People, by name, a page at a time. Filters combine. A page beyond the last one is empty. Without filters a page costs the same however many there are, along the links of \`Link\`.

For administrators: root administrators see everyone, others the people of their own customer.`,
  access: "manager",
  list: true,
  request: { query: namedListQuery("people", "name, slug, UUID or e-mail", "Ada Lovelace") },
  responses: {
    200: json(userList, { description: "A page of people.", example: [userExample] }),
  },
});

export const createUserRoute = operation({
  method: "post",
  path: BASE,
  operationId: "createUser",
  tags: TAGS,
  summary: "Create a person",
  description: `Creates a person, who can sign in at once. A slug that is taken, asked for or made from the name, gets a hyphen and 8 random signs at its end.

${MANAGERS} Nobody gives a role above their own. Unknown keys are ignored. Send an \`Idempotency-Key\` to be able to repeat the request; the password is no part of what a repeat is compared by.`,
  access: "manager",
  creates: true,
  request: {
    body: jsonBody(createUserBody, {
      description: "The person to create.",
      example: {
        email: "ada@example.com",
        name: "Ada Lovelace",
        password: "correct horse battery staple",
        role: "user",
        customer: "example-labs",
      },
    }),
  },
  responses: {
    201: json(user, { description: "Created.", example: userExample, headers: ["ETag"] }),
  },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});

export const getOwnUserRoute = operation({
  method: "get",
  path: `${BASE}/me`,
  operationId: "getOwnUser",
  tags: TAGS,
  summary: "View yourself",
  description: "The person whose token it is.\n\nFor every signed-in user.",
  access: "user",
  single: true,
  responses: { 200: json(user, { description: "The person.", example: userExample }) },
});

export const changeOwnPasswordRoute = operation({
  method: "post",
  path: `${BASE}/me/password`,
  operationId: "changeOwnPassword",
  tags: TAGS,
  summary: "Change your password",
  description: `Sets a new password, for who knows the old one. All other sessions of the person end; the one that asks stays.

For every signed-in user; not with an API token. Attempts are limited like those to sign in. Unknown keys are ignored.`,
  access: "user",
  request: {
    body: jsonBody(changePasswordBody, {
      description: "The old password and the new one.",
      example: {
        old_password: "correct horse battery staple",
        password: "staple battery horse correct",
      },
    }),
  },
  responses: { 204: { description: "Changed; there is no body." } },
  errors: ["PERMISSION_DENIED"],
});

export const getUserRoute = operation({
  method: "get",
  path: `${BASE}/{user}`,
  operationId: "getUser",
  tags: TAGS,
  summary: "View a person",
  description:
    "One person.\n\nFor administrators: root administrators see everyone, others the people of their own customer.",
  access: "manager",
  single: true,
  request: { params },
  responses: { 200: json(user, { description: "The person.", example: userExample }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const updateUserRoute = operation({
  method: "patch",
  path: `${BASE}/{user}`,
  operationId: "updateUser",
  tags: TAGS,
  summary: "Update a person",
  description: `Changes a person. What is left out or null stays; an empty object moves \`modified\` alone. E-mail address and slug never change. Locking and setting a password end all sessions of the person; API tokens of one who is locked do not work meanwhile. Everything holds at once where it is answered, within 30 s everywhere.

${MANAGERS} Nobody gives a role above their own, and only root administrators move people between customers. Nobody changes their own role, customer or password here, or locks themselves. The last root administrator who is not locked stays one. Unknown keys are ignored. Send the \`ETag\` of what you have read as \`If-Match\`, and nobody else's change is overwritten.`,
  access: "manager",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateUserBody, {
      description: "What to change.",
      example: { name: "Ada King", locked: false },
    }),
  },
  responses: {
    200: json(user, {
      description: "The person as it is now.",
      example: userExample,
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const deleteUserRoute = operation({
  method: "delete",
  path: `${BASE}/{user}`,
  operationId: "deleteUser",
  tags: TAGS,
  summary: "Delete a person",
  description: `Deletes a person: e-mail address, name, slug and password are wiped, and all sessions and API tokens end. Jobs stay with the customer, and the e-mail address is free again.

${MANAGERS} Nobody deletes themselves, or the last root administrator who is not locked. There is no request body.`,
  access: "manager",
  conditional: true,
  request: { params },
  responses: { 204: { description: "Deleted; there is no body." } },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const createPasswordLinkRoute = operation({
  method: "post",
  path: `${BASE}/{user}/password-link`,
  operationId: "createPasswordLink",
  tags: TAGS,
  summary: "Make a link to set a password",
  description: `A link to a page where the person sets a new password, without the old one. It works once within 24 hours, and no more after any other change of the password, a lock, or another role or customer. Nothing changes until it is used.

${MANAGERS} Nobody makes one for themselves. There is no request body. Send an \`Idempotency-Key\` to get the same link again.`,
  access: "manager",
  creates: true,
  request: { params },
  responses: {
    201: json(passwordLink, {
      description: "The link.",
      example: {
        url: "https://assay.example/set-password#eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        expiration: "2024-03-16T10:30:00.000Z",
      },
      headers: ["Cache-Control"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const setPasswordRoute = operation({
  method: "post",
  path: "/password",
  operationId: "setPassword",
  tags: TAGS,
  summary: "Set a password by a link",
  description: `Sets a new password with the token of a link that an administrator has made. The link works once; all sessions of the person end.

Open to whoever has the link; what an administrator gives out is the page that asks for it. A body has at most 16 KiB. Attempts are limited per address. Unknown keys are ignored.`,
  access: "open",
  request: {
    body: jsonBody(setPasswordBody, {
      description: "The link's token and the new password.",
      example: {
        token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        password: "staple battery horse correct",
      },
    }),
  },
  responses: { 204: { description: "Set: the person can sign in with it. There is no body." } },
});
