import { z } from "@hono/zod-openapi";
import { headerRefs } from "../http/component-refs.ts";
import { operation } from "../http/operation.ts";
import { json } from "../http/responses.ts";
import { idParameter, idString, integer, orNull, timestamp, word } from "../http/schemas.ts";

const BASE = "/api/silicon-mark/v1/reports";

const MAX_FILE_BYTES = 64 * 1_024 * 1_024;

const sha256 = (description: string) =>
  word({
    pattern: /^[0-9a-f]{64}$/,
    max: 64,
    description,
    example: "9f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d081",
  });

/** Where a report is, as its making answers it. */
export const reportLink = z
  .strictObject({
    pdf_report_url: z.url().openapi({
      format: "uri",
      maxLength: 2_048,
      description:
        "Opens in a browser, without a token, for a week; leads to the job's newest report.",
    }),
  })
  .openapi("ReportLink", { description: "Where the report is." });

export const reportLinkExample = {
  pdf_report_url:
    "https://assay.example/api/silicon-mark/v1/reports/files/7554621440?expires=1711238400&key=BPfZ2k1x&signature=2Rk1r2m0iVYyKq0h3b0E5m7c6v8n9QwErTyUiOpAsDf",
};

const report = z
  .strictObject({
    hash: sha256("Of all that the report says."),
    job_id: idString,
    task_id: orNull(idString).openapi({
      description: "Of the node it is about; null for a job's.",
    }),
    version: integer({
      min: 1,
      max: 2 ** 31 - 1,
      description: "Counts the reports of the same job or node.",
      example: 1,
    }),
    is_latest: z.boolean().openapi({ description: "Whether there is no newer one." }),
    status: z
      .enum(["underperforming", "expected", "outperforming", "unrated"])
      .openapi({ description: "The verdict that it gives." }),
    state: word({
      pattern: /^[a-z_]+$/,
      max: 32,
      description: "How the job ended.",
      example: "completed",
    }),
    created_at: timestamp.openapi({ description: "When the job was created." }),
    started_at: timestamp
      .nullable()
      .openapi({ description: "When its last expected node joined." }),
    ended_at: timestamp.nullable().openapi({ description: "When it ended." }),
    made_at: timestamp.openapi({ description: "When the report was made." }),
    file_sha256: sha256("Of the file: compare it with that of yours."),
    file_bytes: integer({
      min: 1,
      max: MAX_FILE_BYTES,
      description: "The file's length.",
      example: 17_447,
    }),
  })
  .openapi("Report", { description: "A report, for whoever holds it." });

export const getReportRoute = operation({
  method: "get",
  path: `${BASE}/{hash}`,
  operationId: "getReport",
  tags: ["Reports"],
  summary: "Check a report",
  description: `Whether a report is genuine and still the newest, by the content hash that it shows.

Open to anyone: whoever has the hash has seen the report. One of a deleted job is unknown.`,
  access: "open",
  single: true,
  request: {
    params: z.object({
      hash: sha256("The hash that the report shows.").openapi({
        param: { name: "hash", in: "path" },
      }),
    }),
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
        state: "completed",
        created_at: "2024-03-15T10:30:00.000Z",
        started_at: "2024-03-15T10:35:00.000Z",
        ended_at: "2024-03-15T11:45:00.000Z",
        made_at: "2024-03-15T11:45:02.000Z",
        file_sha256: "9f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d081",
        file_bytes: 17_447,
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
const given = (options: { pattern: RegExp; max: number; description: string; example: string }) =>
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
  description: `The newest report of a job or of one node, as a PDF: what \`pdf_report_url\` leads to. The link is its own credential: signed, good for seven to eight days, and for as long as its job is there. One range of bytes may be asked for.`,
  access: "open",
  single: true,
  request: {
    params: z.object({ id: idParameter("id", "The job's id, or the task's.") }),
    query: z.object({
      expires: given({
        pattern: /^[0-9]{1,12}$/,
        max: 12,
        description: "Seconds since 1970.",
        example: "1711238400",
      }).transform(Number),
      key: given({
        pattern: /^[A-Za-z0-9_-]{8}$/,
        max: 8,
        description: "Which key has signed it.",
        example: "BPfZ2k1x",
      }),
      signature: given({
        pattern: /^[A-Za-z0-9_-]{43}$/,
        max: 43,
        description: "Of id and expiry.",
        example: "2Rk1r2m0iVYyKq0h3b0E5m7c6v8n9QwErTyUiOpAsDf",
      }),
    }),
  },
  responses: {
    200: { description: "The file.", headers: fileHeaders, ...pdf },
    206: {
      description: "The part of it that was asked for.",
      headers: { ...fileHeaders, ...headerRefs(["Content-Range"]) },
      ...pdf,
    },
  },
  errors: ["RESOURCE_NOT_FOUND", "RANGE_NOT_SATISFIABLE"],
});
