import { readIfMatch, versionTag } from "../../http/entity-tag.ts";
import { readIdempotencyKey } from "../../http/idempotency.ts";
import { changed, created, list, single } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { originOf } from "../origin.ts";
import {
  createCustomerRoute,
  getCustomerRoute,
  listCustomersRoute,
  updateCustomerRoute,
} from "./contract.ts";
import type { CustomersService } from "./service.ts";
import { toCustomer } from "./wire.ts";

export const customersRoutes = ({ customers }: { customers: CustomersService }) => [
  serve(listCustomersRoute, async (c) => {
    const { session } = c.get("databases");
    const page = await customers.list(session, c.get("actor"), c.req.valid("query"));
    return list(c, page, page.items.map(toCustomer));
  }),

  serve(createCustomerRoute, async (c) => {
    const input = c.req.valid("json");
    const key = readIdempotencyKey(c, input);
    const { session } = c.get("databases");
    const { customer, replayed } = await customers.create(session, originOf(c), input, key);
    return created(c, toCustomer(customer), { replayed, etag: versionTag(customer) });
  }),

  serve(getCustomerRoute, async (c) => {
    const { customer } = c.req.valid("param");
    const row = await customers.view(c.get("databases").session, c.get("actor"), customer);
    return single(c, toCustomer(row), versionTag(row));
  }),

  serve(updateCustomerRoute, async (c) => {
    const { customer } = c.req.valid("param");
    const { session } = c.get("databases");
    const input = c.req.valid("json");
    const row = await customers.update(session, originOf(c), customer, readIfMatch(c), input);
    return changed(c, toCustomer(row), versionTag(row));
  }),
];
