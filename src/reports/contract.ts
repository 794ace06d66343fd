import { z } from "@hono/zod-openapi";
import { headerRefs, json, operation } from "../api/operation.ts";
import { idParameter, idString, integer, orNull, patternText, timestamp } from "../api/schemas.ts";
import { PERFORMANCE_STATUSES } from "../lib/enums.ts";
import { MAX_FILE_BYTES } from "./check/format.ts";

const BASE = "/api/silicon-mark/v1/reports";

export const sha256 = (description: string) =>
  patternText({
    pattern: /^[0-9a-f]{64}$/,
    rule: "must be a SHA-256 hash: 64 digits 0 to 9 and a to f",
    max: 64,
    description,
    example: "9f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d081",
  });

/** A report by the hash printed in it. */
export const ofReport = z.object({
  hash: sha256("The content hash printed in the report.").openapi({
    param: { name: "hash", in: "path" },
  }),
});

export const keyId = patternText({
  pattern: /^[A-Za-z0-9_-]{43}$/,
  max: 43,
  description: "Id of a key: its thumbprint (RFC 7638).",
  example: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
});

const report = z
  .strictObject({
    hash: sha256("Hash of the report's content."),
    job_id: idString,
    task_id: orNull(idString).openapi({
      description: "Task of the node that the report is about; null for a job's report.",
    }),
    version: integer({
      min: 1,
      max: 2 ** 31 - 1,
      description: "Number of this report among those of the same job or node, from 1.",
      example: 1,
    }),
    is_latest: z.boolean().openapi({ description: "True if there is no newer report." }),
    status: z.enum(PERFORMANCE_STATUSES).openapi({ description: "The verdict in the report." }),
    replayed: z.boolean().openapi({
      description: "True if figures in it are recordings in place of measurements.",
    }),
    state: patternText({
      pattern: /^[a-z_]+$/,
      max: 32,
      description: "Final state of the job.",
      example: "completed",
    }),
    created_at: timestamp.openapi({ description: "Time at which the job was created." }),
    started_at: timestamp.nullable().openapi({
      description: "Time at which its last expected node joined; null if some never did.",
    }),
    ended_at: timestamp.nullable().openapi({ description: "Time at which the job ended." }),
    made_at: timestamp.openapi({ description: "Time at which the report was made." }),
    file_sha256: sha256("SHA-256 of the report's file, to compare with that of your copy."),
    file_bytes: integer({
      min: 1,
      max: MAX_FILE_BYTES,
      description: "Size of the file in bytes.",
      example: 17_447,
    }),
    signed_by: orNull(keyId).openapi({
      description:
        "Id of the key that signed its data, from `GET /.well-known/assay-report-keys.json`; null for an unsigned report.",
    }),
  })
  .openapi("Report", { description: "The public facts of a report." });

export const getReportRoute = operation({
  method: "get",
  path: `${BASE}/{hash}`,
  operationId: "getReport",
  tags: ["Reports"],
  summary: "Check a report",
  description: `Checks whether a report is genuine and still the newest, by the content hash printed in it.

Open to anyone, since only readers of the report have its hash. Reports of deleted jobs are not found.`,
  access: "open",
  single: true,
  request: {
    params: ofReport,
  },
  responses: {
    200: json(report, {
      description: "The report.",
      example: {
        hash: "9f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d081",
        job_id: "7554621440",
        task_id: null,
        version: 1,
        is_latest: true,
        status: "expected" as const,
        replayed: false,
        state: "completed",
        created_at: "2024-03-15T10:30:00.000Z",
        started_at: "2024-03-15T10:35:00.000Z",
        ended_at: "2024-03-15T11:45:00.000Z",
        made_at: "2024-03-15T11:45:02.000Z",
        file_sha256: "9f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d081",
        file_bytes: 17_447,
        signed_by: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
      },
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

const pdf = {
  content: {
    "application/pdf": {
      schema: z.string().openapi({
        format: "binary",
        maxLength: MAX_FILE_BYTES,
        description: "The file.",
      }),
      example: "%PDF-1.7 …",
    },
  },
};

const AS_LINKED = "must be given once, as the link has it";
const linkPart = (options: {
  pattern: RegExp;
  max: number;
  description: string;
  example: string;
}) =>
  z.string(AS_LINKED).regex(options.pattern, AS_LINKED).openapi({
    maxLength: options.max,
    description: options.description,
    example: options.example,
  });

const fileHeaders = headerRefs(["Accept-Ranges", "Content-Disposition", "ETag"]);

export const getReportFileRoute = operation({
  method: "get",
  path: `${BASE}/files/{id}`,
  operationId: "getReportFile",
  tags: ["Reports"],
  summary: "Open a report",
  description: `Returns the newest report of a job or of one node, as a PDF. \`pdf_report_url\` links here. The signed link is the only credential; it works for seven to eight days, until the job is deleted. A request may ask for one range of bytes.`,
  access: "open",
  single: true,
  request: {
    params: z.object({ id: idParameter("id", "The job's id, or the task's.") }),
    query: z.object({
      expires: linkPart({
        pattern: /^[0-9]{1,12}$/,
        max: 12,
        description: "Time at which the link expires, in seconds since 1970.",
        example: "1711238400",
      }).transform(Number),
      key: linkPart({
        pattern: /^[A-Za-z0-9_-]{8}$/,
        max: 8,
        description: "Id of the key that signed the link.",
        example: "BPfZ2k1x",
      }),
      signature: linkPart({
        pattern: /^[A-Za-z0-9_-]{43}$/,
        max: 43,
        description: "Signature of the id and the expiry.",
        example: "2Rk1r2m0iVYyKq0h3b0E5m7c6v8n9QwErTyUiOpAsDf",
      }),
    }),
  },
  responses: {
    200: { description: "The file.", headers: fileHeaders, ...pdf },
    206: {
      description: "The requested part of the file.",
      headers: { ...fileHeaders, ...headerRefs(["Content-Range"]) },
      ...pdf,
    },
  },
  errors: ["RESOURCE_NOT_FOUND", "RANGE_NOT_SATISFIABLE"],
});
