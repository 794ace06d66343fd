/** API tokens and API keys of a person: two forms of one thing. */
import { Option } from "@commander-js/extra-typings";
import { body, onlyOnce, whole } from "../api/client.ts";
import type { ApiToken, UserKey } from "../api/types.ts";
import { Failure } from "../failure.ts";
import { fields } from "../output/table.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, type Page, pageOf, queryFor } from "./list.ts";
import {
  type AnyCommand,
  durationOption,
  idempotencyOption,
  noun,
  type Open,
  verb,
} from "./open.ts";
import { MOST_NAMED, NAMED_ORDER } from "./spec.ts";

type Row = ApiToken | UserKey;

const FILTERS = { name: "text", search: "text", revoked: "flag" } as const;
const SCOPES = ["read", "write"] as const;

const COLUMNS = [
  { title: "UUID", of: (row: Row) => row.uuid },
  { title: "Name", of: (row: Row) => row.name },
  { title: "Scope", of: (row: Row) => row.scope },
  { title: "Created", of: (row: Row) => showTime(row.creation) },
  { title: "Expires", of: (row: Row) => showTime(row.expiration) },
  { title: "Last used", of: (row: Row) => showTime(row.last_used) },
  { title: "Revoked", of: (row: Row) => showTime(row.revoked) },
];

const userOption = () => new Option("--user <user>", "the person, by UUID or slug").default("me");

/** Verbs of API tokens. */
export function tokenCommand(open: Open): AnyCommand {
  const command = noun("token", "API tokens, for scripts");
  command.addCommand(
    listVerb(open, {
      summary: "List API tokens",
      examples: ["assay token list", "assay token list --revoked"],
      filters: FILTERS satisfies Filters<"listApiTokens">,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: COLUMNS,
      read: async (api, query, user): Promise<Page<Row>> => {
        const params = { path: { user }, query: queryFor<"listApiTokens">(query) };
        return pageOf(await whole(api.GET("/v0/users/{user}/tokens", { params })));
      },
      place: { option: userOption() },
    }),
  );
  command.addCommand(
    createVerb(
      "token",
      async (open_, user, { idempotencyKey, ...made }) => {
        const params = { path: { user }, header: onlyOnce(idempotencyKey) };
        const reply = await body(
          open_.api().POST("/v0/users/{user}/tokens", { params, body: made }),
        );
        return { document: reply, secret: reply.token };
      },
      open,
    ),
  );
  command.addCommand(
    verb("view", "View an API token; the token itself is not shown again", [
      "assay token view UUID",
    ])
      .alias("get")
      .argument("<uuid>", "UUID of the token")
      .addOption(userOption())
      .action(async (uuid, { user }, self) => {
        const { api, output } = open(self);
        const params = { path: { user, uuid } };
        const found = await body(api().GET("/v0/users/{user}/tokens/{uuid}", { params }));
        await output.result(found, () => show(found));
      }),
  );
  command.addCommand(
    verb("update", "Rename an API token", ["assay token update UUID --name nightly"])
      .alias("edit")
      .argument("<uuid>", "UUID of the token")
      .requiredOption("--name <name>", "new name")
      .addOption(userOption())
      .action(async (uuid, { name, user }, self) => {
        const { api, output } = open(self);
        const params = { path: { user, uuid } };
        const changed = await body(
          api().PATCH("/v0/users/{user}/tokens/{uuid}", { params, body: { name } }),
        );
        await output.result(changed, () => show(changed));
      }),
  );
  command.addCommand(
    verb("revoke", "Revoke an API token", ["assay token revoke UUID"])
      .alias("rm")
      .argument("<uuid>", "UUID of the token")
      .addOption(userOption())
      .action(async (uuid, { user }, self) => {
        const { api, output } = open(self);
        await body(
          api().DELETE("/v0/users/{user}/tokens/{uuid}", { params: { path: { user, uuid } } }),
        );
        await output.result({ revoked: uuid }, () => [`token ${uuid} revoked`]);
      }),
  );
  return command;
}

/** Verbs of API keys. */
export function keyCommand(open: Open): AnyCommand {
  const command = noun(
    "key",
    "API keys: API tokens in the form that published clients of /v0 take",
  );
  command.addCommand(
    listVerb(open, {
      summary: "List API keys",
      examples: ["assay key list", "assay key list --revoked"],
      filters: FILTERS satisfies Filters<"listUserKeys">,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: COLUMNS,
      read: async (api, query, user): Promise<Page<Row>> => {
        const params = { path: { user }, query: queryFor<"listUserKeys">(query) };
        return pageOf(await whole(api.GET("/v0/users/{user}/keys", { params })));
      },
      place: { option: userOption() },
    }),
  );
  command.addCommand(
    createVerb(
      "key",
      async (open_, user, { idempotencyKey, ...made }) => {
        const params = { path: { user }, header: onlyOnce(idempotencyKey) };
        const reply = await body(open_.api().POST("/v0/users/{user}/keys", { params, body: made }));
        return { document: reply, secret: reply.key };
      },
      open,
    ),
  );
  command.addCommand(
    verb("view", "View an API key; the key itself is not shown again", ["assay key view UUID"])
      .alias("get")
      .argument("<uuid>", "UUID of the key")
      .addOption(userOption())
      .action(async (key, { user }, self) => {
        const { api, output } = open(self);
        const params = { path: { user, key } };
        const found = await body(api().GET("/v0/users/{user}/keys/{key}", { params }));
        await output.result(found, () => show(found));
      }),
  );
  command.addCommand(
    verb("update", "Rename an API key", ["assay key update UUID --name nightly"])
      .alias("edit")
      .argument("<uuid>", "UUID of the key")
      .requiredOption("--name <name>", "new name")
      .addOption(userOption())
      .action(async (key, { name, user }, self) => {
        const { api, output } = open(self);
        const params = { path: { user, key } };
        const changed = await body(
          api().PATCH("/v0/users/{user}/keys/{key}", { params, body: { name } }),
        );
        await output.result(changed, () => show(changed));
      }),
  );
  command.addCommand(
    verb("revoke", "Revoke an API key", ["assay key revoke UUID"])
      .alias("rm")
      .argument("<uuid>", "UUID of the key")
      .addOption(userOption())
      .action(async (key, { user }, self) => {
        const { api, output } = open(self);
        await body(
          api().DELETE("/v0/users/{user}/keys/{key}", { params: { path: { user, key } } }),
        );
        await output.result({ revoked: key }, () => [`key ${key} revoked`]);
      }),
  );
  return command;
}

interface Wanted {
  name: string;
  scope?: (typeof SCOPES)[number];
  ttl?: number;
  idempotencyKey?: string;
}

type Create = (
  opened: ReturnType<Open>,
  user: string,
  wanted: Wanted,
) => Promise<{ document: { uuid: string }; secret: string | null }>;

/** Creation asks for a session: the secret outlives it. */
function createVerb(kind: "token" | "key", create: Create, open: Open): AnyCommand {
  return verb("create", `Create an API ${kind}, and show it once`, [
    `assay ${kind} create --name nightly --ttl 30d --scope read`,
  ])
    .alias("add")
    .requiredOption("--name <name>", "name")
    .addOption(
      new Option("--ttl <duration>", "lifetime, such as 30d; 136 years by default").argParser(
        durationOption,
      ),
    )
    .addOption(new Option("--scope <scope>", "read, or write by default").choices(SCOPES))
    .addOption(userOption())
    .addOption(idempotencyOption())
    .action(async ({ user, ...wanted }, self) => {
      const opened = open(self);
      const { document, secret } = await create(opened, user, wanted);
      if (secret === null) {
        throw new Failure(
          `the ${kind} ${document.uuid} was created, but the reply that showed it was lost: revoke it with assay ${kind} revoke ${document.uuid}, and create another`,
          1,
        );
      }
      await opened.output.result(document, () =>
        fields([
          ["UUID", document.uuid],
          [kind === "key" ? "Key" : "Token", secret],
        ]),
      );
      opened.output.note(`The ${kind} is shown this once.`);
    });
}

function show(row: Row): string[] {
  return fields(COLUMNS.map(({ title, of }) => [title, of(row)] as const));
}
