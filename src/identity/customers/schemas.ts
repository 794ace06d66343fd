/** What a customer looks like on the wire. */
import { z } from "@hono/zod-openapi";
import { nameText, slug } from "../../http/names.ts";
import { timestamp, uuid } from "../../http/schemas.ts";

const name = nameText({
  description:
    "1 to 64 bytes of UTF-8, without white space at the ends. Several customers may have the same.",
  example: "Example Labs",
});
const customerSlug = slug({
  description: "Names the customer in paths; unique.",
  example: "example-labs",
});

export const createCustomerBody = z
  .object({
    name,
    slug: customerSlug.nullish().openapi({
      description:
        "The slug to take; made from the name when left out or null. When it is taken, 8 random signs are appended.",
    }),
  })
  .openapi("CreateCustomer", { description: "A customer to create." });

export const updateCustomerBody = z
  .object({
    name: name.nullish(),
    slug: customerSlug.nullish().openapi({ description: "Another slug; it must be free." }),
  })
  .openapi("UpdateCustomer", {
    description: "What to change. What is left out or null stays as it is.",
  });

export const customer = z
  .strictObject({
    uuid: uuid.openapi({ description: "Names the customer, for ever." }),
    name,
    slug: customerSlug,
    created: timestamp.openapi({ description: "When it was created." }),
    modified: timestamp.openapi({ description: "When it was last changed." }),
  })
  .openapi("Customer", { description: "A customer: people and jobs belong to one." });

export const customerList = z
  .array(customer)
  .max(255)
  .openapi("CustomerList", { description: "The customers of this page." });

/** A customer as other things show it. */
export const customerName = z
  .strictObject({ uuid: customer.shape.uuid, name, slug: customerSlug })
  .openapi("CustomerName", { description: "The customer that it belongs to." });

export type CreateCustomerInput = z.infer<typeof createCustomerBody>;
export type UpdateCustomerInput = z.infer<typeof updateCustomerBody>;
export type CustomerWire = z.infer<typeof customer>;
