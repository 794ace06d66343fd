/** What a person looks like on the wire. */
import { z } from "@hono/zod-openapi";
import { nameText, slug } from "../../http/names.ts";
import { reference } from "../../http/reference.ts";
import { text, timestamp, uuid } from "../../http/schemas.ts";
import { ROLES } from "../actor.ts";
import { customerName } from "../customers/schemas.ts";

const name = nameText({
  description: "1 to 64 bytes of UTF-8, without white space at the ends.",
  example: "Ada Lovelace",
});
const userSlug = slug({ description: "Names the person in paths; unique.", example: "ada" });

const MAX_EMAIL = 320;
/** Control characters are refused with those of all texts. */
const EMAIL = /^[^\s@]+@[^\s@]+$/;
const emailText = {
  maxLength: MAX_EMAIL,
  pattern: "^[^\\s@\\u0000-\\u001F\\u007F-\\u009F]+@[^\\s@\\u0000-\\u001F\\u007F-\\u009F]+$",
  example: "ada@example.com",
};
const email = text({ min: 3, max: MAX_EMAIL, description: "" })
  .regex(EMAIL, "must be an e-mail address")
  .openapi({ ...emailText, description: "To sign in with; unique without regard to case." });

/** A password that is to be set. */
const password = text({ min: 12, max: 128, description: "12 to 128 characters." }).openapi({
  format: "password",
  example: "correct horse battery staple",
});

const role = z.enum(ROLES).openapi({
  description:
    "`user` sees own jobs, `customer_admin` those of the customer, whose people it manages; `staff` sees all jobs; `root_admin` sees and manages everything.",
  example: "user",
});

const customerReference = reference({
  description: "The customer to belong to, by UUID or slug.",
  example: "example-labs",
});

export const createUserBody = z
  .object({
    email,
    name,
    password,
    role: role.default("user"),
    customer: customerReference,
    slug: userSlug.nullish().openapi({
      description:
        "The slug to take; made from the name when left out or null. When it is taken, 8 random signs are appended.",
    }),
  })
  .openapi("CreateUser", { description: "A person to create." });

export const updateUserBody = z
  .object({
    name: name.nullish(),
    role: role.nullish(),
    customer: customerReference
      .nullish()
      .openapi({ description: "Another customer, by UUID or slug. Jobs stay with the old one." }),
    locked: z.boolean().nullish().openapi({
      description: "`true` keeps the person out and ends all sessions; `false` lets them in again.",
    }),
    password: password.nullish().openapi({
      description: "Another password: 12 to 128 characters. All sessions end.",
    }),
  })
  .openapi("UpdateUser", {
    description: "What to change. What is left out or null stays as it is.",
  });

export const user = z
  .strictObject({
    uuid: uuid.openapi({ description: "Names the person, for ever." }),
    email: z.string().openapi({ ...emailText, description: "To sign in with." }),
    name,
    slug: userSlug,
    role,
    customer: customerName,
    locked: z.boolean().openapi({ description: "Whether the person is kept out." }),
    created: timestamp.openapi({ description: "When it was created." }),
    modified: timestamp.openapi({ description: "When it was last changed." }),
  })
  .openapi("User", { description: "A person." });

export const userList = z
  .array(user)
  .max(255)
  .openapi("UserList", { description: "The people of this page." });

/** A password that is tested, whatever rules it once had to fit. */
const oldPassword = z.string().min(1).max(1_024).openapi({
  format: "password",
  description: "The password as it is now.",
  example: "correct horse battery staple",
});

export const changePasswordBody = z
  .object({
    old_password: oldPassword,
    password: password.openapi({ description: "The new one: 12 to 128 characters." }),
  })
  .openapi("ChangePassword", { description: "The old password and the new one." });

export const setPasswordBody = z
  .object({
    token: z.string().min(1).max(4_096).openapi({
      pattern: "^[\\s\\S]+$",
      description: "What follows `#` in the link.",
      example: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQwIn0.c2lnbmF0dXJl",
    }),
    password: password.openapi({ description: "The new one: 12 to 128 characters." }),
  })
  .openapi("SetPassword", { description: "A link's token and the new password." });

export const passwordLink = z
  .strictObject({
    url: z.string().openapi({
      format: "uri",
      maxLength: 8_192,
      description: "The page where the person sets a new password. Give it to nobody else.",
      example:
        "https://assay.example/set-password#eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    }),
    expiration: timestamp.openapi({ description: "The link works until then, once." }),
  })
  .openapi("PasswordLink", { description: "A link to set a new password." });

export type CreateUserInput = z.infer<typeof createUserBody>;
export type UpdateUserInput = z.infer<typeof updateUserBody>;
export type UserWire = z.infer<typeof user>;
