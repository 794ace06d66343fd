/** Wire form of shares, and of the jobs that they show. */
import { z } from "@hono/zod-openapi";
import { idString, integer, patternText, timestamp, uuid } from "../../api/schemas.ts";
import { MAX_NODES } from "../../coordinator/wire/task.ts";
import { DAY_MS, SECOND_MS } from "../../lib/clock.ts";
import { RANDOM_LENGTH } from "../../lib/keys.ts";
import { task } from "../result-schemas.ts";
import { jobDetail } from "../schemas.ts";

const DAY_SECONDS = DAY_MS / SECOND_MS;
export const DEFAULT_TTL_SECONDS = 7 * DAY_SECONDS;
const MAX_TTL_SECONDS = 90 * DAY_SECONDS;
/** Links of a job that work at the same time. */
export const MAX_SHARES = 20;
export const SHARE_PREFIX = "assay_share_";

export const createShareBody = z
  .object({
    ttl: integer({
      min: 60,
      max: MAX_TTL_SECONDS,
      description: "Seconds until the link stops working; by default, or if null, 7 days.",
      example: DEFAULT_TTL_SECONDS,
    }).nullish(),
  })
  .openapi("CreateShare", { description: "A link to create." });

const facts = {
  uuid: uuid.openapi({ description: "Identifies the link. It is not a secret." }),
  job_id: idString,
  created_by: uuid.openapi({ description: "UUID of the person who created it." }),
  created_at: timestamp.openapi({ description: "When it was made." }),
  expires_at: timestamp.openapi({ description: "When it stops working." }),
};

export const share = z
  .strictObject(facts)
  .openapi("Share", { description: "A link that shows a job, without the link itself." });

export const shareList = z
  .strictObject({
    shares: z.array(share).max(MAX_SHARES).openapi({ description: "Newest first." }),
  })
  .openapi("Shares", { description: "The valid links of a job." });

export const createdShare = z
  .strictObject({
    ...facts,
    url: z.string().nullable().openapi({
      format: "uri-reference",
      maxLength: 2_048,
      description:
        "The link, for people: a page that shows the job. The part after `#` is the token of `GET /shared/{share}`. Shown only once: null when a request with an `Idempotency-Key` is repeated. A path if the server does not know its public address.",
      example: "https://assay.example/console/shared#assay_share_0123456789abcdefghijABCDEFGHIJ",
    }),
  })
  .openapi("CreatedShare", { description: "A new link that shows a job." });

export const shareToken = patternText({
  pattern: new RegExp(`^${SHARE_PREFIX}[A-Za-z0-9]{${RANDOM_LENGTH}}$`),
  rule: "must be the token of a shared link: the part after #",
  max: SHARE_PREFIX.length + RANDOM_LENGTH,
  description: "The token: the part after `#` in the link.",
  example: `${SHARE_PREFIX}0123456789abcdefghijABCDEFGHIJ`,
}).openapi({ param: { name: "share", in: "path" } });

const {
  token: _token,
  join_command: _join,
  order: _order,
  pdf_report_url: _url,
  report_error: _error,
  ...shownOfJob
} = jobDetail.shape;
const {
  machine_ip: _ip,
  pdf_report_url: _taskUrl,
  report_error: _taskError,
  ...shownOfTask
} = task.shape;

const sharedTask = z
  .strictObject(shownOfTask)
  .openapi("SharedTask", { description: "One node's part of a job, without its address." });

export const sharedJob = z
  .strictObject({
    ...shownOfJob,
    tasks: z.array(sharedTask).max(MAX_NODES).openapi({ description: "The nodes, by rank." }),
    shared_until: timestamp.openapi({ description: "When the link stops working." }),
  })
  .openapi("SharedJob", {
    description: "A shared job: without people, tokens, addresses and its order.",
  });

export type ShareWire = z.infer<typeof share>;
export type SharedJobWire = z.infer<typeof sharedJob>;
