import { z } from "@hono/zod-openapi";
import { namedListQuery } from "../../http/list-query.ts";
import { operation } from "../../http/operation.ts";
import { referenceParameter } from "../../http/reference.ts";
import { json, jsonBody } from "../../http/responses.ts";
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
  description: `The customers, by name, a page at a time. Filters combine. A page beyond the last one is empty. Without filters a page costs the same however many there are, along the links of \`Link\`.

For administrators: root administrators see all, others their own customer.`,
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
  description: `Creates a customer, without people. Names may repeat, slugs do not: a slug that is taken, asked for or made from the name, gets a hyphen and 8 random signs at its end.

For root administrators. Unknown keys are ignored. Send an \`Idempotency-Key\` to be able to repeat the request without making a second customer.`,
  access: "admin",
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
    "One customer.\n\nFor administrators: root administrators see all, others their own customer.",
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
  description: `Changes a customer's name or slug. What is left out or null stays; an empty object moves \`modified\` alone. A new name leaves the slug as it is.

For root administrators. Unknown keys are ignored. Send the \`ETag\` of what you have read as \`If-Match\`, and nobody else's change is overwritten.`,
  access: "admin",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateCustomerBody, {
      description: "What to change.",
      example: { name: "Example Laboratories" },
    }),
  },
  responses: {
    200: json(customer, {
      description: "The customer as it is now.",
      example: customerExample,
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});
