import { z } from "@hono/zod-openapi";
import { namedListQuery } from "../../api/lists.ts";
import { referenceParameter } from "../../api/names.ts";
import { json, jsonBody, operation } from "../../api/operation.ts";
import { KIB } from "../../lib/bytes.ts";
import {
  changePasswordBody,
  createUserBody,
  passwordLink,
  setPasswordBody,
  setUpBody,
  updateUserBody,
  user,
  userExample,
  userList,
} from "./schemas.ts";

const BASE = "/v0/users";
const TAGS: [string] = ["People"];

/** The same as for a sign-in, which is as open. */
const PASSWORD_BODY_LIMIT = 16 * KIB;

/** A person in a path; `me` is a reserved slug. */
export const userParameter = referenceParameter("user", {
  description: "The person's UUID, in any usual spelling, or slug; `me` for the caller.",
  example: "ada",
});

const params = z.object({ user: userParameter });

/** The managers of people, for descriptions. */
const MANAGERS =
  "For administrators: root administrators manage everyone, others the people of their own customer whose role is not higher than theirs.";

const RECENT = "With a session signed in within 15 minutes; refreshing does not count.";

export const listUsersRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listUsers",
  tags: TAGS,
  summary: "List people",
  description: `Lists people by name, a page at a time. Filters combine. A page beyond the last page is empty.

For administrators: root administrators see everyone, others the people of their own customer.

**Cost.** Without filters, each page along the links of \`Link\` costs the same at any number of people.`,
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
  description: `Creates a person, who can sign in immediately. If the slug is taken, it gets a hyphen and a random suffix of 8 characters.

${MANAGERS} ${RECENT} You cannot grant a role higher than your own. Unknown keys are ignored. Send an \`Idempotency-Key\` to repeat the request safely; a repeat with another password counts as the same request.`,
  access: "manager",
  session: "recent",
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
  description: "Returns the person that the token belongs to.\n\nFor every signed-in user.",
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
  description: `Replaces the old password with a new one. All other sessions of the person end; the current session continues.

For every signed-in user, with a session. Attempts count towards the limits of sign-ins. Unknown keys are ignored.`,
  access: "user",
  session: "any",
  // Counted before the hashes, so that the holder of a stolen token cannot guess passwords.
  limit: "sign-in-account",
  bodyLimit: PASSWORD_BODY_LIMIT,
  request: {
    body: jsonBody(changePasswordBody, {
      description: "The old password and the new one.",
      example: {
        old_password: "correct horse battery staple",
        password: "staple battery horse correct",
      },
    }),
  },
  responses: { 204: { description: "Changed. The reply has no body." } },
});

export const getUserRoute = operation({
  method: "get",
  path: `${BASE}/{user}`,
  operationId: "getUser",
  tags: TAGS,
  summary: "View a person",
  description:
    "Returns one person.\n\nFor the person, and for administrators: root administrators see everyone, others the people of their own customer.",
  access: "user",
  single: true,
  request: { params },
  responses: { 200: json(user, { description: "The person.", example: userExample }) },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const updateUserRoute = operation({
  method: "patch",
  path: `${BASE}/{user}`,
  operationId: "updateUser",
  tags: TAGS,
  summary: "Update a person",
  description: `Changes a person. Omitted and null fields stay unchanged; an empty object updates only \`modified\`. A lock or a new password ends all sessions of the person; API tokens do not work while the person is locked. Changes take effect immediately in the region that served the request, and everywhere within 30 seconds.

${MANAGERS} With a session; for \`role\`, \`admin\`, \`email\` and \`password\`, one signed in within 15 minutes. You cannot grant a role higher than your own, change your own role, customer or password here, or lock yourself. Only root administrators can move people between customers. The last root administrator who is not locked cannot be demoted or locked. Unknown keys are ignored. Send the \`ETag\` that you have read as \`If-Match\` to avoid overwriting someone else's change.`,
  access: "manager",
  session: "any",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateUserBody, {
      description: "The changes.",
      example: { name: "Ada King", locked: false },
    }),
  },
  responses: {
    200: json(user, {
      description: "The changed person.",
      example: userExample,
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});

export const deleteUserRoute = operation({
  method: "delete",
  path: `${BASE}/{user}`,
  operationId: "deleteUser",
  tags: TAGS,
  summary: "Delete a person",
  description: `Deletes a person: removes e-mail address, name, slug and password, and ends all sessions and API tokens. Jobs stay with the customer, and the e-mail address can be reused.

${MANAGERS} With a session. You cannot delete yourself, or the last root administrator who is not locked. There is no request body.`,
  access: "manager",
  session: "any",
  conditional: true,
  request: { params },
  responses: { 204: { description: "Deleted. The reply has no body." } },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const createPasswordLinkRoute = operation({
  method: "post",
  path: `${BASE}/{user}/password-link`,
  operationId: "createPasswordLink",
  tags: TAGS,
  summary: "Create a link to set a password",
  description: `Creates a link to a page where the person sets a new password without the old one. The link works once, within 24 hours, and stops working after another change of the password, a lock, or a change of role or customer. The old password works until the link is used.

${MANAGERS} ${RECENT} You cannot create a link for yourself. There is no request body. Send an \`Idempotency-Key\` to repeat the request safely; the repeat returns the same link.`,
  access: "manager",
  session: "recent",
  secret: true,
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
  summary: "Set a password with a link",
  description: `Sets a new password with the token of a link that an administrator created. The link works once; all sessions of the person end.

Open to everyone with the link, which leads to a page that calls this operation. Bodies are limited to 16 KiB, attempts per IP address. Unknown keys are ignored.`,
  access: "open",
  limit: "sign-in-address",
  bodyLimit: PASSWORD_BODY_LIMIT,
  request: {
    body: jsonBody(setPasswordBody, {
      description: "The link's token and the new password.",
      example: {
        token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        password: "staple battery horse correct",
      },
    }),
  },
  responses: {
    204: {
      description: "Set: the person can sign in with the new password. The reply has no body.",
    },
  },
});

export const setUpRoute = operation({
  method: "post",
  path: "/setup",
  operationId: "setUp",
  tags: TAGS,
  summary: "Create the first administrator",
  description: `Creates the first root administrator of a new deployment. It exists only while the secret \`SETUP_TOKEN\` is set and there is no root administrator; otherwise the reply is 404. Remove the secret afterwards.

Open to everyone with the token; the page at \`/set-up\` calls it. Bodies are limited to 16 KiB, attempts per IP address. Unknown keys are ignored.`,
  access: "open",
  limit: "sign-in-address",
  bodyLimit: PASSWORD_BODY_LIMIT,
  request: {
    body: jsonBody(setUpBody, {
      description: "The token, and the person.",
      example: {
        token: "Vt0mYw3rXq8nKc5zLh2bJf7sPd9gRa4e",
        email: "ada@example.com",
        name: "Ada Lovelace",
        password: "correct horse battery staple",
      },
    }),
  },
  responses: {
    201: json(user, {
      description: "The administrator, who can sign in now.",
      example: { ...userExample, role: "root_admin", admin: true },
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_ALREADY_EXISTS"],
});
