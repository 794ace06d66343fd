import { z } from "@hono/zod-openapi";
import { namedListQuery } from "../../api/lists.ts";
import { referenceParameter } from "../../api/names.ts";
import { json, jsonBody, operation } from "../../api/operation.ts";
import {
  type CustomerWire,
  createCustomerBody,
  customer,
  customerList,
  updateCustomerBody,
} from "./schemas.ts";

const BASE = "/v0/customers";
const TAGS: [string] = ["Customers"];

const customerExample: CustomerWire = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  name: "Example Labs",
  slug: "example-labs",
  created: "2024-03-15T10:30:00.000Z",
  modified: "2024-03-15T10:30:00.000Z",
};

const params = z.object({
  customer: referenceParameter("customer", {
    description: "The customer's UUID, in any usual spelling, or its slug.",
    example: "example-labs",
  }),
});

export const listCustomersRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listCustomers",
  tags: TAGS,
  summary: "List customers",
  description: `Lists customers by name, a page at a time. Filters combine. A page beyond the last page is empty.

For administrators: root administrators see all, others their own customer.

**Cost.** Without filters, each page along the links of \`Link\` costs the same at any number of customers.`,
  access: "manager",
  list: true,
  request: { query: namedListQuery("customers", "name, slug or UUID", "Example Labs") },
  responses: {
    200: json(customerList, { description: "A page of customers.", example: [customerExample] }),
  },
});

export const createCustomerRoute = operation({
  method: "post",
  path: BASE,
  operationId: "createCustomer",
  tags: TAGS,
  summary: "Create a customer",
  description: `Creates a customer without people. Names may repeat; slugs are unique. If the slug is taken, it gets a hyphen and a random suffix of 8 characters.

For root administrators, with a session. Unknown keys are ignored. Send an \`Idempotency-Key\` to repeat the request safely, without a second customer.`,
  access: "admin",
  session: "any",
  creates: true,
  request: {
    body: jsonBody(createCustomerBody, {
      description: "The customer to create.",
      example: { name: "Example Labs" },
    }),
  },
  responses: {
    201: json(customer, { description: "Created.", example: customerExample, headers: ["ETag"] }),
  },
});

export const getCustomerRoute = operation({
  method: "get",
  path: `${BASE}/{customer}`,
  operationId: "getCustomer",
  tags: TAGS,
  summary: "View a customer",
  description:
    "Returns one customer.\n\nFor administrators: root administrators see all, others their own customer.",
  access: "manager",
  single: true,
  request: { params },
  responses: { 200: json(customer, { description: "The customer.", example: customerExample }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const updateCustomerRoute = operation({
  method: "patch",
  path: `${BASE}/{customer}`,
  operationId: "updateCustomer",
  tags: TAGS,
  summary: "Update a customer",
  description: `Changes a customer's name or slug. Omitted and null fields stay unchanged; an empty object updates only \`modified\`. A new name does not change the slug.

For root administrators, with a session. Unknown keys are ignored. Send the \`ETag\` that you have read as \`If-Match\` to avoid overwriting someone else's change.`,
  access: "admin",
  session: "any",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateCustomerBody, {
      description: "The changes.",
      example: { name: "Example Laboratories" },
    }),
  },
  responses: {
    200: json(customer, {
      description: "The changed customer.",
      example: customerExample,
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});
