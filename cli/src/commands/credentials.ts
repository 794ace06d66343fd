/** API tokens and API keys of a person: two forms of one thing. */
import { Option } from "@commander-js/extra-typings";
import { TOKEN_SCOPES } from "../../../src/lib/enums.ts";
import { type Api, body, onlyOnce, whole } from "../api/client.ts";
import type { ApiToken, UserKey } from "../api/types.ts";
import { Failure } from "../failure.ts";
import { fields } from "../output/table.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, type Page, pageOf, type Query, queryFor } from "./list.ts";
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

interface Wanted {
  name: string;
  scope?: (typeof TOKEN_SCOPES)[number];
  ttl?: number;
  idempotencyKey?: string;
}

/** The calls of one of the two forms. */
interface Calls {
  list: (api: Api, user: string, query: Query) => Promise<Page<Row>>;
  create: (
    api: Api,
    user: string,
    wanted: Wanted,
  ) => Promise<{ document: { uuid: string }; secret: string | null }>;
  view: (api: Api, user: string, uuid: string) => Promise<Row>;
  update: (api: Api, user: string, uuid: string, name: string) => Promise<Row>;
  revoke: (api: Api, user: string, uuid: string) => Promise<unknown>;
}

const TOKENS: Calls = {
  async list(api, user, query) {
    const params = { path: { user }, query: queryFor<"listApiTokens">(query) };
    return pageOf(await whole(api.GET("/v0/users/{user}/tokens", { params })));
  },
  async create(api, user, { idempotencyKey, ...wanted }) {
    const params = { path: { user }, header: onlyOnce(idempotencyKey) };
    const made = await body(api.POST("/v0/users/{user}/tokens", { params, body: wanted }));
    return { document: made, secret: made.token };
  },
  view: (api, user, uuid) =>
    body(api.GET("/v0/users/{user}/tokens/{uuid}", { params: { path: { user, uuid } } })),
  update(api, user, uuid, name) {
    const params = { path: { user, uuid } };
    return body(api.PATCH("/v0/users/{user}/tokens/{uuid}", { params, body: { name } }));
  },
  revoke: (api, user, uuid) =>
    body(api.DELETE("/v0/users/{user}/tokens/{uuid}", { params: { path: { user, uuid } } })),
};

const KEYS: Calls = {
  async list(api, user, query) {
    const params = { path: { user }, query: queryFor<"listUserKeys">(query) };
    return pageOf(await whole(api.GET("/v0/users/{user}/keys", { params })));
  },
  async create(api, user, { idempotencyKey, ...wanted }) {
    const params = { path: { user }, header: onlyOnce(idempotencyKey) };
    const made = await body(api.POST("/v0/users/{user}/keys", { params, body: wanted }));
    return { document: made, secret: made.key };
  },
  view: (api, user, key) =>
    body(api.GET("/v0/users/{user}/keys/{key}", { params: { path: { user, key } } })),
  update(api, user, key, name) {
    const params = { path: { user, key } };
    return body(api.PATCH("/v0/users/{user}/keys/{key}", { params, body: { name } }));
  },
  revoke: (api, user, key) =>
    body(api.DELETE("/v0/users/{user}/keys/{key}", { params: { path: { user, key } } })),
};

export function tokenCommand(open: Open): AnyCommand {
  const filters = FILTERS satisfies Filters<"listApiTokens">;
  return credentialCommand(open, "token", "API tokens, for scripts", filters, TOKENS);
}

export function keyCommand(open: Open): AnyCommand {
  const filters = FILTERS satisfies Filters<"listUserKeys">;
  const summary = "API keys: API tokens in the form for published clients of /v0";
  return credentialCommand(open, "key", summary, filters, KEYS);
}

type Kind = "token" | "key";

function credentialCommand(
  open: Open,
  kind: Kind,
  summary: string,
  filters: typeof FILTERS,
  calls: Calls,
): AnyCommand {
  const command = noun(kind, summary);
  command.addCommand(
    listVerb(open, {
      summary: `List API ${kind}s`,
      examples: [`assay ${kind} list`, `assay ${kind} list --revoked`],
      filters,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: COLUMNS,
      place: { option: userOption() },
      read: (api, query, user) => calls.list(api, user, query),
    }),
  );
  command.addCommand(createVerb(kind, calls, open));
  command.addCommand(
    verb("view", `View an API ${kind}; the ${kind} itself is not shown again`, [
      `assay ${kind} view UUID`,
    ])
      .alias("get")
      .argument("<uuid>", `UUID of the ${kind}`)
      .addOption(userOption())
      .action(async (uuid, { user }, self) => {
        const { api, output } = open(self);
        const found = await calls.view(api(), user, uuid);
        await output.result(found, () => show(found));
      }),
  );
  command.addCommand(
    verb("update", `Rename an API ${kind}`, [`assay ${kind} update UUID --name nightly`])
      .alias("edit")
      .argument("<uuid>", `UUID of the ${kind}`)
      .requiredOption("--name <name>", "new name")
      .addOption(userOption())
      .action(async (uuid, { name, user }, self) => {
        const { api, output } = open(self);
        const changed = await calls.update(api(), user, uuid, name);
        await output.result(changed, () => show(changed));
      }),
  );
  command.addCommand(
    verb("revoke", `Revoke an API ${kind}`, [`assay ${kind} revoke UUID`])
      .alias("rm")
      .argument("<uuid>", `UUID of the ${kind}`)
      .addOption(userOption())
      .action(async (uuid, { user }, self) => {
        const { api, output } = open(self);
        await calls.revoke(api(), user, uuid);
        await output.result({ revoked: uuid }, () => [`${kind} ${uuid} revoked`]);
      }),
  );
  return command;
}

/** Creation asks for a session: the secret outlives it. */
function createVerb(kind: Kind, calls: Calls, open: Open): AnyCommand {
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
    .addOption(new Option("--scope <scope>", "read, or write by default").choices(TOKEN_SCOPES))
    .addOption(userOption())
    .addOption(idempotencyOption())
    .action(async ({ user, ...wanted }, self) => {
      const opened = open(self);
      const { document, secret } = await calls.create(opened.api(), user, wanted);
      if (secret === null) {
        throw new Failure(
          `the ${kind} ${document.uuid} was created, but the reply with it was lost: revoke it with assay ${kind} revoke ${document.uuid}, and create another`,
          1,
        );
      }
      await opened.output.result(document, () =>
        fields([
          ["UUID", document.uuid],
          [kind === "key" ? "Key" : "Token", secret],
        ]),
      );
      opened.output.note(`The ${kind} is shown only once.`);
    });
}

function show(row: Row): string[] {
  return fields(COLUMNS.map(({ title, of }) => [title, of(row)] as const));
}
