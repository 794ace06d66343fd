/** The wire form of customers. */
import { z } from "@hono/zod-openapi";
import { nameText, slug } from "../../api/names.ts";
import { timestamp, uuid } from "../../api/schemas.ts";

const name = nameText({
  description:
    "1 to 64 bytes of UTF-8, without white space at the ends. Customers may have equal names.",
  example: "Example Labs",
});
const customerSlug = slug({
  description: "Identifies the customer in paths; unique.",
  example: "example-labs",
});

export const createCustomerBody = z
  .object({
    name,
    slug: customerSlug.nullish().openapi({
      description:
        "The slug; by default made from the name. If it is taken, it gets a random suffix of 8 characters.",
    }),
  })
  .openapi("CreateCustomer", { description: "A customer to create." });

export const updateCustomerBody = z
  .object({
    name: name.nullish(),
    slug: customerSlug.nullish().openapi({ description: "The new slug; it must be free." }),
  })
  .openapi("UpdateCustomer", {
    description: "Changes to a customer. Omitted and null fields stay unchanged.",
  });

export const customer = z
  .strictObject({
    uuid: uuid.openapi({ description: "Identifies the customer permanently." }),
    name,
    slug: customerSlug,
    created: timestamp.openapi({ description: "Time of creation." }),
    modified: timestamp.openapi({ description: "Time of the last change." }),
  })
  .openapi("Customer", { description: "A customer: the owner of people and jobs." });

export const customerList = z
  .array(customer)
  .max(255)
  .openapi("CustomerList", { description: "The customers on this page." });

/** A customer as other resources show it. */
export const customerName = z
  .strictObject({ uuid: customer.shape.uuid, name, slug: customerSlug })
  .openapi("CustomerName", { description: "The customer that owns the resource." });

export type CreateCustomerInput = z.infer<typeof createCustomerBody>;
export type UpdateCustomerInput = z.infer<typeof updateCustomerBody>;
export type CustomerWire = z.infer<typeof customer>;
