import { OpenAPIHono } from "@hono/zod-openapi";
import { readIfMatch, singleJson, versionTag } from "../../http/entity-tag.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { JSON_BODY_LIMIT, readBody } from "../../http/json-body.ts";
import { announcePage } from "../../http/paging.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import { originOf } from "../audit.ts";
import type { Guards, UserEnv } from "../guards.ts";
import {
  createCustomerRoute,
  getCustomerRoute,
  listCustomersRoute,
  updateCustomerRoute,
} from "./contract.ts";
import type { CustomersService } from "./service.ts";
import { toCustomer } from "./wire.ts";

const LIST_PARAMETERS = Object.keys(listCustomersRoute.request.query.shape);

interface CustomersRouterDeps {
  customers: CustomersService;
  guards: Guards;
}

export function createCustomersRouter({ customers, guards }: CustomersRouterDeps) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listCustomersRoute, middleware: guards.manager }, async (c) => {
    const query = c.req.valid("query");
    const { session } = c.get("databases");
    const { items, total, neighbours } = await customers.list(session, c.get("actor"), query);
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(items.map(toCustomer), 200);
  });

  router.openapi(
    { ...createCustomerRoute, middleware: [guards.admin, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const input = c.req.valid("json");
      const claim = readIdempotencyKey(c, input);
      const { session } = c.get("databases");
      const { customer, replayed } = await customers.create(session, originOf(c), input, claim);
      if (replayed) c.header("Idempotency-Replayed", "true");
      c.header("ETag", versionTag(customer));
      return c.json(toCustomer(customer), 201);
    },
  );

  router.openapi({ ...getCustomerRoute, middleware: guards.manager }, async (c) => {
    const { customer } = c.req.valid("param");
    const row = await customers.view(c.get("databases").session, c.get("actor"), customer);
    const text = JSON.stringify(toCustomer(row));
    // The body is the JSON of a customer: typed as `c.json` would have typed it.
    return singleJson(c, text, versionTag(row)) as unknown as ReturnType<
      typeof c.json<ReturnType<typeof toCustomer>, 200>
    >;
  });

  router.openapi(
    { ...updateCustomerRoute, middleware: [guards.admin, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { customer } = c.req.valid("param");
      const { session } = c.get("databases");
      const input = c.req.valid("json");
      const row = await customers.update(session, originOf(c), customer, readIfMatch(c), input);
      c.header("ETag", versionTag(row));
      return c.json(toCustomer(row), 200);
    },
  );

  return router;
}
