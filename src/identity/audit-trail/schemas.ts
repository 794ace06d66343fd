/** The wire form of audit log entries. */
import { z } from "@hono/zod-openapi";
import { jsonObject, orNull, patternText, timestamp, uuid } from "../../api/schemas.ts";
import { ACTOR_KINDS, AUDIT_ACTIONS, SUBJECT_KINDS } from "../../lib/enums.ts";

export const MAX_SUBJECT = 256;
export const MAX_ADDRESS = 256;

const action = z.enum(AUDIT_ACTIONS).openapi({ description: "The action, or the refusal." });

const anyText = (max: number, description: string) =>
  z.string().openapi({ maxLength: max, pattern: "^[\\s\\S]*$", description });

const event = z
  .strictObject({
    id: patternText({
      pattern: /^[0-9]{1,16}$/,
      max: 16,
      description: "The entry's number: later entries have larger numbers.",
      example: "42",
    }),
    at: timestamp.openapi({ description: "Time of the action." }),
    action,
    actor: z
      .strictObject({
        kind: z.enum(ACTOR_KINDS).openapi({ description: "Kind of caller." }),
        id: orNull(
          anyText(
            128,
            "UUID of a person or runner, id of a job, or another name for an unknown caller.",
          ),
        ).openapi({ description: "Id of the caller; null if unknown." }),
      })
      .openapi({ description: "The caller." }),
    subject: z
      .strictObject({
        kind: z.enum(SUBJECT_KINDS).openapi({ description: "Kind of subject." }),
        id: anyText(MAX_SUBJECT, "Id of the subject: a UUID, a job's id, or another name."),
      })
      .nullable()
      .openapi({ description: "The subject of the action; null if there is none." }),
    customer: orNull(uuid).openapi({
      description:
        "UUID of the customer whose administrators see the entry; null if only root administrators do.",
    }),
    request_id: patternText({
      pattern: /^[A-Za-z0-9_.:-]+$/,
      max: 128,
      description: "The `x-request-id` of the request.",
    }),
    address: orNull(anyText(MAX_ADDRESS, "An IP address; for IPv6 its /64 network.")).openapi({
      description: "IP address of the caller; null if unknown.",
    }),
    details: jsonObject({
      maxBytes: 4_096,
      description:
        "More about the action, such as the names of changed fields. Never contains a secret.",
    }),
  })
  .openapi("AuditEvent", { description: "One entry of the audit log." });

export const auditTrail = z
  .array(event)
  .max(255)
  .openapi("AuditTrail", { description: "The entries on this page, newest first." });

export type AuditEventWire = z.infer<typeof event>;
