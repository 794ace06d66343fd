/** What an entry of the audit trail looks like on the wire. */
import { z } from "@hono/zod-openapi";
import { jsonObject, orNull, timestamp, uuid, word } from "../../http/schemas.ts";
import { ACTOR_KINDS, AUDIT_ACTIONS, SUBJECT_KINDS } from "../audit.ts";

export const MAX_SUBJECT = 256;
export const MAX_ADDRESS = 256;

const action = z.enum(AUDIT_ACTIONS).openapi({ description: "What was done, or refused." });

const anyText = (max: number, description: string) =>
  z.string().openapi({ maxLength: max, pattern: "^[\\s\\S]*$", description });

const event = z
  .strictObject({
    id: word({
      pattern: /^[0-9]{1,16}$/,
      max: 16,
      description: "Its place in the trail: later ones have larger numbers.",
      example: "42",
    }),
    at: timestamp.openapi({ description: "When it was." }),
    action,
    actor: z
      .strictObject({
        kind: z.enum(ACTOR_KINDS).openapi({ description: "What kind of caller it was." }),
        id: orNull(
          anyText(128, "A person's UUID, a job's id, or what an account goes by."),
        ).openapi({ description: "Who it was; null for nobody known." }),
      })
      .openapi({ description: "Who did it." }),
    subject: z
      .strictObject({
        kind: z.enum(SUBJECT_KINDS).openapi({ description: "What kind of thing it is." }),
        id: anyText(MAX_SUBJECT, "Which one: a UUID, or what it goes by."),
      })
      .nullable()
      .openapi({ description: "To whom or what; null for nothing in particular." }),
    customer: orNull(uuid).openapi({
      description: "Whose administrators see it; null for root administrators alone.",
    }),
    request_id: word({
      pattern: /^[A-Za-z0-9_.:-]+$/,
      max: 128,
      description: "The `x-request-id` of the request.",
    }),
    address: orNull(anyText(MAX_ADDRESS, "An address, of IPv6 the /64.")).openapi({
      description: "Where the request came from; null when unknown.",
    }),
    details: jsonObject({
      maxBytes: 4_096,
      description: "What else there is to say, such as which fields were set. Never a secret.",
    }),
  })
  .openapi("AuditEvent", { description: "One entry of the audit trail." });

export const auditTrail = z
  .array(event)
  .max(255)
  .openapi("AuditTrail", { description: "The entries of this page, newest first." });

export type AuditEventWire = z.infer<typeof event>;
