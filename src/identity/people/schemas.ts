/** The wire form of people. */
import { z } from "@hono/zod-openapi";
import { nameText, reference, slug } from "../../api/names.ts";
import { text, timestamp, uuid } from "../../api/schemas.ts";
import { ROLES } from "../../lib/enums.ts";
import { customerName } from "../customers/schemas.ts";

const personName = nameText({
  description: "1 to 64 bytes of UTF-8, without white space at the ends.",
  example: "Ada Lovelace",
});
const userSlug = slug({ description: "Identifies the person in paths; unique.", example: "ada" });

const MAX_EMAIL = 320;
/** `text` refuses control characters. */
const EMAIL = /^[^\s@]+@[^\s@]+$/;
const emailText = {
  maxLength: MAX_EMAIL,
  pattern: "^[^\\s@\\u0000-\\u001F\\u007F-\\u009F]+@[^\\s@\\u0000-\\u001F\\u007F-\\u009F]+$",
  example: "ada@example.com",
};
const emailAddress = text({ min: 3, max: MAX_EMAIL, description: "" })
  .regex(EMAIL, "must be an e-mail address")
  .openapi({
    ...emailText,
    description: "The e-mail address to sign in with; unique without regard to case.",
  });

/** A password to set. */
const newPassword = text({
  min: 12,
  max: 128,
  description: "12 to 128 characters.",
}).openapi({
  format: "password",
  example: "correct horse battery staple",
});

const role = z.enum(ROLES).openapi({
  description:
    "`user` sees their own jobs; `customer_admin` sees the jobs of the customer and manages its people; `staff` sees all jobs; `root_admin` sees and manages everything.",
  example: "user",
});

const customerReference = reference({
  description: "UUID or slug of the person's customer.",
  example: "example-labs",
});

export const createUserBody = z
  .object({
    email: emailAddress,
    name: personName,
    password: newPassword,
    role: role.default("user"),
    customer: customerReference,
    slug: userSlug.nullish().openapi({
      description:
        "The slug; by default made from the name. If it is taken, it gets a random suffix of 8 characters.",
    }),
  })
  .openapi("CreateUser", { description: "A person to create." });

export const updateUserBody = z
  .object({
    name: personName.nullish(),
    role: role.nullish(),
    customer: customerReference.nullish().openapi({
      description: "UUID or slug of the new customer. Jobs stay with the old customer.",
    }),
    locked: z.boolean().nullish().openapi({
      description: "`true` locks the person out and ends all sessions; `false` unlocks the person.",
    }),
    password: newPassword.nullish().openapi({
      description: "The new password: 12 to 128 characters. All sessions end.",
    }),
    slug: userSlug.nullish().openapi({ description: "The new slug; it must be free." }),
    email: emailAddress.nullish().openapi({
      description: "The new e-mail address to sign in with; it must be free.",
    }),
    admin: z.boolean().nullish().openapi({
      description:
        "`true` makes the person a `root_admin`; `false` makes a `root_admin` a `user`, and leaves others unchanged. A `role` must not contradict it.",
    }),
  })
  .check(({ value: { admin, role }, issues }) => {
    if (admin === undefined || admin === null || role === undefined || role === null) return;
    if (admin === (role === "root_admin")) return;
    const message = `contradicts the role ${role}: send one of the two`;
    issues.push({ code: "custom", input: admin, path: ["admin"], message });
  })
  .openapi("UpdateUser", {
    description: "Changes to a person. Omitted and null fields stay unchanged.",
  });

export const setUpBody = z
  .object({
    token: text({ min: 1, max: 512, description: "The secret `SETUP_TOKEN` of the deployment." }),
    email: emailAddress,
    name: personName,
    password: newPassword,
  })
  .openapi("SetUp", { description: "The first administrator." });

export const user = z
  .strictObject({
    uuid: uuid.openapi({ description: "Identifies the person permanently." }),
    email: z.string().openapi({ ...emailText, description: "The e-mail address to sign in with." }),
    name: personName,
    slug: userSlug,
    role,
    admin: z.boolean().openapi({ description: "True if the role is `root_admin`." }),
    customer: customerName,
    locked: z.boolean().openapi({ description: "True if the person is locked out." }),
    created: timestamp.openapi({ description: "Time of creation." }),
    modified: timestamp.openapi({ description: "Time of the last change." }),
  })
  .openapi("User", { description: "A person." });

export const userList = z
  .array(user)
  .max(255)
  .openapi("UserList", { description: "The people on this page." });

/** A password to check; older passwords may follow other rules. */
const oldPassword = z.string().min(1).max(1_024).openapi({
  format: "password",
  description: "The current password.",
  example: "correct horse battery staple",
});

export const changePasswordBody = z
  .object({
    old_password: oldPassword,
    password: newPassword.openapi({ description: "The new password: 12 to 128 characters." }),
  })
  .openapi("ChangePassword", { description: "The old password and the new one." });

export const setPasswordBody = z
  .object({
    token: z.string().min(1).max(4_096).openapi({
      pattern: "^[\\s\\S]+$",
      description: "The link's token: the part after `#`.",
      example: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQwIn0.c2lnbmF0dXJl",
    }),
    password: newPassword.openapi({ description: "The new password: 12 to 128 characters." }),
  })
  .openapi("SetPassword", { description: "A link's token and the new password." });

export const passwordLink = z
  .strictObject({
    url: z.string().openapi({
      format: "uri-reference",
      maxLength: 8_192,
      description:
        "The page where the person sets a new password. Give it only to this person. A path if the server does not know its public address.",
      example:
        "https://assay.example/set-password#eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    }),
    expiration: timestamp.openapi({ description: "Time of expiry." }),
  })
  .openapi("PasswordLink", { description: "A link to set a new password." });

export type SetUpInput = z.output<typeof setUpBody>;
export type CreateUserInput = z.infer<typeof createUserBody>;
export type UpdateUserInput = z.infer<typeof updateUserBody>;
export type UserWire = z.infer<typeof user>;

export const userExample: UserWire = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  email: "ada@example.com",
  name: "Ada Lovelace",
  slug: "ada",
  role: "user",
  admin: false,
  customer: {
    uuid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    name: "Example Labs",
    slug: "example-labs",
  },
  locked: false,
  created: "2024-03-15T10:30:00.000Z",
  modified: "2024-03-15T10:30:00.000Z",
};
