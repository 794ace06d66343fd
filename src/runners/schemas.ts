/** What a runner looks like on the wire. */
import { z } from "@hono/zod-openapi";
import { machineFields, taskReply } from "../coordinator/machine-schemas.ts";
import { nameText, slug } from "../http/names.ts";
import { reference } from "../http/reference.ts";
import { CLOSED, idString, jwt, timestamp, uuid, word } from "../http/schemas.ts";
import { KEY_LENGTH, KEY_PATTERN } from "./keys.ts";

/** Each candidate list of jobs is read per set of specs: sets stay small. */
export const MAX_OFFERED = 100;

const name = nameText({
  description:
    "1 to 64 bytes of UTF-8, without white space at the ends. Several runners may have the same.",
  example: "Rack 7",
});
const runnerSlug = slug({ description: "Names the runner in paths; unique.", example: "rack-7" });
const runnerUuid = uuid.openapi({
  description: "Names the runner, for ever; as a node it is the machine's UUID.",
});

export const createRunnerBody = z
  .object({
    name,
    slug: runnerSlug.nullish().openapi({
      description:
        "The slug to take; made from the name when left out or null. A taken one is refused.",
    }),
  })
  .openapi("CreateRunner", { description: "A runner to create." });

export const updateRunnerBody = z
  .object({
    name: name.nullish(),
    slug: runnerSlug.nullish().openapi({ description: "Another slug; it must be free." }),
    archived: z.boolean().nullish().openapi({
      description:
        "`true` archives the runner: it leaves lists, and its key stops working. `false` brings it back, with the same key.",
    }),
  })
  .openapi("UpdateRunner", {
    description: "What to change. What is left out or null stays as it is.",
  });

export const runnerKey = z
  .strictObject({
    uuid: runnerUuid,
    key: word({
      pattern: KEY_PATTERN,
      max: KEY_LENGTH,
      description:
        "The runner's key, shown this once and never again: null in the repeat of a request with an `Idempotency-Key`.",
    }).nullable(),
  })
  .openapi("RunnerKey", { description: "A runner and its new key." });

export const runner = z
  .strictObject({
    uuid: runnerUuid,
    name,
    slug: runnerSlug,
    specs: z
      .array(uuid)
      .max(MAX_OFFERED)
      .openapi({ description: "UUIDs of the specs that it offers, archived ones too, sorted." }),
    state: z.enum(["online", "offline", "busy"]).openapi({
      description:
        "`busy` while it has a live task, `online` while it asks for jobs, `offline` when it has been out of contact for 150 seconds.",
    }),
    last_heartbeat: timestamp.nullable().openapi({
      description: "When it last asked for a job, to the minute; null when it never has.",
    }),
    created: timestamp.openapi({ description: "When it was created." }),
    modified: timestamp.openapi({ description: "When somebody last changed it or its specs." }),
    archived: timestamp
      .nullable()
      .openapi({ description: "Since when it is archived; null when it is not." }),
  })
  .openapi("Runner", { description: "A standing machine." });

export const runnerList = z
  .array(runner)
  .max(255)
  .openapi("RunnerList", { description: "The runners of this page." });

export const offerSpecBody = z
  .object({
    spec: reference({
      description: "UUID or slug of the spec; it must not be archived.",
      example: "h100-node",
    }),
  })
  .openapi("OfferSpec", { description: "The spec to offer." });

export const claimBody = z
  .object(machineFields)
  .openapi("ClaimJob", { ...CLOSED, description: "The machine, as in joining a job." });

export const claimedJob = z
  .strictObject({
    job_id: idString,
    token: jwt("The job's token: with it the runner is a node like any other."),
    task: taskReply,
  })
  .openapi("ClaimedJob", { description: "A job, and the place in it that is the runner's." });

export type CreateRunnerInput = z.infer<typeof createRunnerBody>;
export type UpdateRunnerInput = z.infer<typeof updateRunnerBody>;
export type ClaimInput = z.infer<typeof claimBody>;
export type RunnerWire = z.infer<typeof runner>;
export type RunnerKeyWire = z.infer<typeof runnerKey>;
