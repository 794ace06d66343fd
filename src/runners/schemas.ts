/** The wire form of runners. */
import { z } from "@hono/zod-openapi";
import { nameText, reference, slug } from "../api/names.ts";
import { idString, patternText, timestamp, uuid } from "../api/schemas.ts";
import { RUNNER_STATES, SPEC_CHECK_STATUSES } from "../lib/enums.ts";
import { KEY_LENGTH, NEW_KEY_PATTERN } from "./keys.ts";

/** One page shows all of them. Candidate jobs are read per set of offered specs, so the sets stay small. */
export const MAX_OFFERED = 255;

const name = nameText({
  description: "1 to 64 bytes of UTF-8, without white space at the ends. Names need not be unique.",
  example: "Rack 7",
});
const runnerSlug = slug({ description: "Names the runner in paths; unique.", example: "rack-7" });
const runnerUuid = uuid.openapi({
  description: "Permanent id of the runner; as a node it is the machine's UUID.",
});

export const createRunnerBody = z
  .object({
    name,
    slug: runnerSlug.nullish().openapi({
      description: "Made from the name if omitted or null. A slug that is taken is refused.",
    }),
  })
  .openapi("CreateRunner", { description: "A runner to create." });

export const updateRunnerBody = z
  .object({
    name: name.nullish(),
    slug: runnerSlug.nullish().openapi({ description: "New slug; it must be free." }),
    archived: z.boolean().nullish().openapi({
      description:
        "`true` archives the runner: it disappears from lists, and its key stops working. `false` restores it with the same key.",
    }),
  })
  .openapi("UpdateRunner", {
    description: "The changes. Omitted and null fields stay unchanged.",
  });

export const runnerKey = z
  .strictObject({
    uuid: runnerUuid,
    key: patternText({
      pattern: NEW_KEY_PATTERN,
      max: KEY_LENGTH,
      description:
        "The runner's key, shown only once: null when a request with an `Idempotency-Key` is repeated.",
    }).nullable(),
  })
  .openapi("RunnerKey", { description: "A runner and its new key." });

const specCheck = z
  .strictObject({
    spec: uuid.openapi({ description: "The spec." }),
    status: z.enum(SPEC_CHECK_STATUSES).openapi({
      description:
        "`differs`: the machine differs or falls short. `unknown`: its architecture, CPUs or memory could not be read.",
    }),
    task_id: idString.openapi({ description: "The task that was checked; it has the fields." }),
  })
  .openapi("RunnerSpecCheck", {
    description: "Comparison of a runner's machine with a spec that it offers.",
  });

export const runner = z
  .strictObject({
    uuid: runnerUuid,
    name,
    slug: runnerSlug,
    specs: z.array(uuid).max(MAX_OFFERED).openapi({
      description: "UUIDs of the specs that it offers, sorted; including archived specs.",
    }),
    spec_checks: z.array(specCheck).max(MAX_OFFERED).openapi({
      description: "The latest check against each of these specs with a claimed job.",
    }),
    state: z.enum(RUNNER_STATES).openapi({
      description:
        "`busy` while it has a live task, `online` while its channel is open or it asks for jobs, `offline` when it has been out of contact for 150 seconds.",
    }),
    last_heartbeat: timestamp.nullable().openapi({
      description:
        "Time of its last contact, to the minute, or to 15 minutes while its channel is open; null if there was none.",
    }),
    created: timestamp.openapi({ description: "When it was created." }),
    modified: timestamp.openapi({ description: "When the runner or its specs were last changed." }),
    archived: timestamp
      .nullable()
      .openapi({ description: "When it was archived; null if it is not." }),
  })
  .openapi("Runner", { description: "A machine that claims jobs for the specs it offers." });

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

export type CreateRunnerInput = z.infer<typeof createRunnerBody>;
export type UpdateRunnerInput = z.infer<typeof updateRunnerBody>;
export type RunnerWire = z.infer<typeof runner>;
export type RunnerKeyWire = z.infer<typeof runnerKey>;
