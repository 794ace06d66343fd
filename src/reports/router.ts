import { OpenAPIHono } from "@hono/zod-openapi";
import type { RequestEnv } from "../http/context.ts";
import { singleJson } from "../http/entity-tag.ts";
import { notFound } from "../http/errors.ts";
import { throwOnInvalid } from "../http/validation.ts";
import type { Guards } from "../identity/guards.ts";
import { getReportFileRoute, getReportRoute } from "./contract.ts";
import type { ReportLinks } from "./links.ts";
import type { ReportsService } from "./service.ts";

interface RouterDeps {
  reports: ReportsService;
  links: ReportLinks;
  bucket: R2Bucket;
  guards: Guards;
}

export function createReportsRouter({ reports, links, bucket, guards }: RouterDeps) {
  const router = new OpenAPIHono<RequestEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...getReportRoute, middleware: guards.open }, async (c) => {
    const found = await reports.find(c.get("databases").session, c.req.valid("param").hash);
    // The body is the JSON of it, as the contract declares; tests parse it strictly.
    return singleJson(c, JSON.stringify(found)) as never;
  });

  router.openapi({ ...getReportFileRoute, middleware: guards.open }, async (c) => {
    const { id } = c.req.valid("param");
    // Whatever is wrong with a link has the same answer, before anything is looked up.
    if (!links.verify(id, c.req.valid("query"))) throw notFound("Report", id);
    const { serveFile } = await import("./serve.ts");
    // The primary: a deleted job's links are dead at once.
    const db = c.get("databases").primary;
    return (await serveFile(c, { db, bucket }, id)) as never; // a PDF: the contract's types know JSON alone
  });

  return router;
}
