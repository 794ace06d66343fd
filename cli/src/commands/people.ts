/** People and customers. */
import { Option } from "@commander-js/extra-typings";
import { ROLES } from "../../../src/lib/enums.ts";
import { body, onlyOnce, whole } from "../api/client.ts";
import type { Customer, User } from "../api/types.ts";
import { usage } from "../failure.ts";
import { fields } from "../output/table.ts";
import { ask, confirm } from "../session/prompt.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, pageOf, queryFor } from "./list.ts";
import {
  type AnyCommand,
  defined,
  idempotencyOption,
  noun,
  type Open,
  requireChange,
  verb,
  yesOption,
} from "./open.ts";
import { MOST_NAMED, NAMED_ORDER } from "./spec.ts";

const FILTERS = { name: "text", search: "text" } as const;

export function userCommand(open: Open): AnyCommand {
  const command = noun("user", "People (administrators)");
  command.addCommand(
    listVerb(open, {
      summary: "List people",
      examples: ["assay user list", "assay user list --search ada --all"],
      filters: FILTERS satisfies Filters<"listUsers">,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: [
        { title: "Slug", of: (user: User) => user.slug },
        { title: "Name", of: (user) => user.name },
        { title: "E-mail", of: (user) => user.email },
        { title: "Role", of: (user) => user.role },
        { title: "Customer", of: (user) => user.customer.slug },
        { title: "Locked", of: (user) => (user.locked ? "yes" : "no") },
      ],
      read: async (api, query) =>
        pageOf(
          await whole(api.GET("/v0/users", { params: { query: queryFor<"listUsers">(query) } })),
        ),
    }),
  );
  command.addCommand(createUser(open));
  command.addCommand(
    verb("view", "View a person", ["assay user view ada-lovelace"])
      .alias("get")
      .argument("<user>", "UUID or slug; me")
      .action(async (user, _options, self) => {
        const { api, output } = open(self);
        const found = await body(api().GET("/v0/users/{user}", { params: { path: { user } } }));
        await output.result(found, () => showUser(found));
      }),
  );
  command.addCommand(updateUser(open));
  command.addCommand(
    verb("delete", "Delete a person and their personal data; jobs stay with the customer", [
      "assay user delete ada-lovelace",
    ])
      .alias("rm")
      .argument("<user>", "UUID or slug")
      .addOption(yesOption())
      .action(async (user, { yes }, self) => {
        const { api, output } = open(self);
        if (!yes && !(await confirm(`Delete ${user} for ever?`))) {
          throw usage("not confirmed: give --yes to delete without a question");
        }
        await body(api().DELETE("/v0/users/{user}", { params: { path: { user } } }));
        await output.result({ deleted: user }, () => [`${user} deleted`]);
      }),
  );
  command.addCommand(linkVerb(open));
  command.addCommand(ownPassword(open));
  return command;
}

function linkVerb(open: Open): AnyCommand {
  return verb("link", "Create a link to set a password; it works once, within 24 hours", [
    "assay user link ada-lovelace",
  ])
    .argument("<user>", "UUID or slug")
    .addOption(idempotencyOption())
    .action(async (user, { idempotencyKey }, self) => {
      const { api, output, session } = open(self);
      await session().requireRecentSignIn();
      const params = { path: { user }, header: onlyOnce(idempotencyKey) };
      const link = await body(api().POST("/v0/users/{user}/password-link", { params }));
      await output.result(link, () =>
        fields([
          ["Link", link.url],
          ["Works until", showTime(link.expiration)],
        ]),
      );
    });
}

function createUser(open: Open): AnyCommand {
  return verb("create", "Create a person; asks for the password", [
    'assay user create --email ada@example.com --name "Ada Lovelace" --customer example-labs',
  ])
    .alias("add")
    .requiredOption("--email <address>", "e-mail address")
    .requiredOption("--name <name>", "name")
    .requiredOption("--customer <customer>", "UUID or slug of the customer")
    .addOption(new Option("--role <role>", "user by default").choices(ROLES))
    .addOption(new Option("--slug <slug>", "slug; made from the name by default"))
    .addOption(idempotencyOption())
    .action(async ({ idempotencyKey, ...wanted }, self) => {
      const { api, output, session } = open(self);
      await session().requireRecentSignIn();
      const password = await newPassword(`Password for ${wanted.email} (12 to 128 characters): `);
      const made = await body(
        api().POST("/v0/users", {
          params: { header: onlyOnce(idempotencyKey) },
          body: { ...wanted, password },
        }),
      );
      await output.result(made, () => showUser(made));
    });
}

function updateUser(open: Open): AnyCommand {
  return verb("update", "Update a person", [
    "assay user update ada-lovelace --role customer_admin",
    "assay user update ada-lovelace --lock",
  ])
    .alias("edit")
    .argument("<user>", "UUID or slug; me")
    .option("--name <name>", "new name")
    .option("--slug <slug>", "new slug")
    .option("--email <address>", "new e-mail address")
    .addOption(new Option("--role <role>", "new role").choices(ROLES))
    .option("--customer <customer>", "moves the person to another customer")
    .addOption(new Option("--lock", "locks the person out").conflicts("unlock"))
    .addOption(new Option("--unlock", "lets the person in again"))
    .option("--password", "asks for a new password")
    .action(async (user, { lock, unlock, password, ...others }, self) => {
      const { api, output, session } = open(self);
      const locked = lock ? true : unlock ? false : undefined;
      requireChange(
        { ...others, locked, password },
        "--name, --slug, --email, --role, --customer, --lock, --unlock, --password",
      );
      if (others.role !== undefined || others.email !== undefined || password) {
        await session().requireRecentSignIn();
      }
      const secret = password
        ? await newPassword(`New password of ${user} (12 to 128 characters): `)
        : undefined;
      const changed = await body(
        api().PATCH("/v0/users/{user}", {
          params: { path: { user } },
          body: defined({ ...others, locked, password: secret }),
        }),
      );
      await output.result(changed, () => showUser(changed));
    });
}

function ownPassword(open: Open): AnyCommand {
  return verb("password", "Change your own password; your other sessions end", [
    "assay user password",
  ]).action(async (_options, self) => {
    const { api, output } = open(self);
    const old_password = await secret("Current password: ");
    const password = await newPassword("New password (12 to 128 characters): ");
    await body(api().POST("/v0/users/me/password", { body: { old_password, password } }));
    await output.result({ changed: "password" }, () => ["password changed"]);
  });
}

async function secret(question: string): Promise<string> {
  const text = await ask(question, true);
  if (text !== null) return text;
  throw usage("there is no terminal to ask for the password");
}

async function newPassword(question: string): Promise<string> {
  const password = await secret(question);
  if ((await secret("Confirm password: ")) !== password) throw usage("the two passwords differ");
  return password;
}

export function showUser(user: User): string[] {
  return fields([
    ["UUID", user.uuid],
    ["Slug", user.slug],
    ["Name", user.name],
    ["E-mail", user.email],
    ["Role", user.role],
    ["Customer", `${user.customer.name} (${user.customer.slug})`],
    ["Locked", user.locked ? "yes" : "no"],
    ["Created", showTime(user.created)],
    ["Modified", showTime(user.modified)],
  ]);
}

export function customerCommand(open: Open): AnyCommand {
  const command = noun("customer", "Customers (root administrators)");
  command.addCommand(
    listVerb(open, {
      summary: "List customers",
      examples: ["assay customer list"],
      filters: FILTERS satisfies Filters<"listCustomers">,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: [
        { title: "Slug", of: (customer: Customer) => customer.slug },
        { title: "Name", of: (customer) => customer.name },
        { title: "Created", of: (customer) => showTime(customer.created) },
      ],
      read: async (api, query) =>
        pageOf(
          await whole(
            api.GET("/v0/customers", { params: { query: queryFor<"listCustomers">(query) } }),
          ),
        ),
    }),
  );
  command.addCommand(
    verb("create", "Create a customer", ['assay customer create --name "Example Labs"'])
      .alias("add")
      .requiredOption("--name <name>", "name")
      .addOption(new Option("--slug <slug>", "slug; made from the name by default"))
      .addOption(idempotencyOption())
      .action(async ({ idempotencyKey, ...wanted }, self) => {
        const { api, output } = open(self);
        const params = { header: onlyOnce(idempotencyKey) };
        const made = await body(api().POST("/v0/customers", { params, body: wanted }));
        await output.result(made, () => showCustomer(made));
      }),
  );
  command.addCommand(
    verb("view", "View a customer", ["assay customer view example-labs"])
      .alias("get")
      .argument("<customer>", "UUID or slug")
      .action(async (customer, _options, self) => {
        const { api, output } = open(self);
        const found = await body(
          api().GET("/v0/customers/{customer}", { params: { path: { customer } } }),
        );
        await output.result(found, () => showCustomer(found));
      }),
  );
  command.addCommand(
    verb("update", "Update a customer", [
      'assay customer update example-labs --name "Example Laboratories"',
    ])
      .alias("edit")
      .argument("<customer>", "UUID or slug")
      .option("--name <name>", "new name")
      .option("--slug <slug>", "new slug")
      .action(async (customer, changes, self) => {
        const { api, output } = open(self);
        requireChange(changes, "--name, --slug");
        const params = { path: { customer } };
        const changed = await body(
          api().PATCH("/v0/customers/{customer}", { params, body: changes }),
        );
        await output.result(changed, () => showCustomer(changed));
      }),
  );
  return command;
}

function showCustomer(customer: Customer): string[] {
  return fields([
    ["UUID", customer.uuid],
    ["Slug", customer.slug],
    ["Name", customer.name],
    ["Created", showTime(customer.created)],
    ["Modified", showTime(customer.modified)],
  ]);
}
