/** The reply to making a report, which jobs answer. */
import { z } from "@hono/zod-openapi";

export const reportLink = z
  .strictObject({
    pdf_report_url: z.string().openapi({
      format: "uri-reference",
      maxLength: 2_048,
      description:
        "Opens the job's newest report in a browser, without a token; valid for seven to eight days. A path where the server does not know its public address.",
    }),
  })
  .openapi("ReportLink", { description: "The link to a report." });

export const reportLinkExample = {
  pdf_report_url:
    "https://assay.example/api/silicon-mark/v1/reports/files/7554621440?expires=1711238400&key=BPfZ2k1x&signature=2Rk1r2m0iVYyKq0h3b0E5m7c6v8n9QwErTyUiOpAsDf",
};
