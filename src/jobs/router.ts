import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { CATALOGUE } from "../benchmarks/catalogue.ts";
import { entityTagOf, singleJson } from "../http/entity-tag.ts";
import { readIdempotencyKey } from "../http/idempotency.ts";
import { JSON_BODY_LIMIT, readBody } from "../http/json-body.ts";
import { toPagination } from "../http/pagination.ts";
import { announcePage } from "../http/paging.ts";
import type { RateLimits } from "../http/rate-limit.ts";
import { stringifyWithRaw } from "../http/raw-json.ts";
import { siteOf } from "../http/site.ts";
import { throwOnInvalid } from "../http/validation.ts";
import { originOf } from "../identity/audit.ts";
import type { Guards, UserEnv } from "../identity/guards.ts";
import { toTimestamp } from "../lib/clock.ts";
import type { ReportLinks } from "../reports/links.ts";
import { listBenchmarksRoute, toBenchmarkWire } from "./catalogue-contract.ts";
import {
  abortJobRoute,
  createJobRoute,
  deleteJobRoute,
  getJobResultsRoute,
  getJobRoute,
  listJobsRoute,
  listJobTagsRoute,
  makeReportRoute,
} from "./contract.ts";
import type { Caller, JobsService } from "./service.ts";
import { toCreatedJob, toJobDetail, toJobResults, toListedJob } from "./wire.ts";

const LIST_PARAMETERS = Object.keys(listJobsRoute.request.query.in.shape);

interface RouterDeps {
  jobs: JobsService;
  guards: Guards;
  limits: RateLimits;
  links: ReportLinks;
}

export function createJobsRouter({ jobs, guards, limits, links }: RouterDeps) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi(
    { ...createJobRoute, middleware: [guards.user, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const input = c.req.valid("json");
      const claim = readIdempotencyKey(c, input);
      const { row, token, replayed } = await jobs.create(callerOf(c), input, claim, siteOf(c));
      if (replayed) c.header("Idempotency-Replayed", "true");
      return c.json(toCreatedJob(row, token), 201);
    },
  );

  router.openapi({ ...listJobsRoute, middleware: guards.user }, async (c) => {
    const query = c.req.valid("query");
    const { items, total, neighbours } = await jobs.list(callerOf(c), query);
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(
      {
        results: items.map(({ row, token, nodes }) => toListedJob(row, token, nodes)),
        pagination: toPagination({ page, perPage, total, neighbours }),
      },
      200,
    );
  });

  // Before what takes an id: `tags` and `delete` are words, not jobs' ids.
  router.openapi({ ...listJobTagsRoute, middleware: guards.user }, async (c) =>
    single(c, { tags: await jobs.tags(callerOf(c)) }),
  );

  router.openapi(
    { ...deleteJobRoute, middleware: [guards.user, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { id } = c.req.valid("json");
      const { requiresAgentStop } = await jobs.remove(callerOf(c), originOf(c), id);
      const message = "Job deleted successfully" as const;
      return c.json({ message, requires_agent_stop: requiresAgentStop }, 200);
    },
  );

  router.openapi({ ...getJobRoute, middleware: guards.user }, async (c) => {
    const { view, token } = await jobs.detail(callerOf(c), c.req.valid("param").job_id);
    const site = siteOf(c);
    return single(
      c,
      toJobDetail(view, token, (id, hash) => (hash ? links.urlOf(site, id) : null)),
    );
  });

  router.openapi({ ...getJobResultsRoute, middleware: guards.user }, async (c) => {
    const view = await jobs.view(callerOf(c), c.req.valid("param").job_id);
    const { include_display_names } = c.req.valid("query");
    return single(c, toJobResults(view, { displayNames: include_display_names }));
  });

  router.openapi({ ...abortJobRoute, middleware: guards.user }, async (c) => {
    const { job_id } = c.req.valid("param");
    const { endedAt } = await jobs.abort(callerOf(c), job_id);
    const state = "aborted" as const;
    return c.json({ id: String(job_id), state, ended_at: toTimestamp(endedAt) }, 200);
  });

  router.openapi({ ...makeReportRoute, middleware: guards.user }, async (c) => {
    await limits.check(c, "report", c.get("actor").userUuid);
    const url = await jobs.makeReport(callerOf(c), c.req.valid("param").job_id, siteOf(c));
    return c.json({ pdf_report_url: url }, 202);
  });

  router.openapi({ ...listBenchmarksRoute, middleware: guards.user }, (c) => {
    const { text, etag } = catalogue();
    // The body is the JSON of a catalogue: a test parses it strictly.
    return singleJson(c, text, etag) as never;
  });

  return router;
}

function callerOf(c: Context<UserEnv>): Caller {
  return { actor: c.get("actor"), db: c.get("databases").session, meter: c.get("meter") };
}

let described: { text: string; etag: string } | undefined;

/** Written once per isolate: it changes only with the server's version. */
function catalogue() {
  if (described === undefined) {
    const text = JSON.stringify({ benchmarks: CATALOGUE.map(toBenchmarkWire) });
    described = { text, etag: entityTagOf(text) };
  }
  return described;
}

/** One resource, perhaps with stored JSON in it, with its validator. */
function single<T extends object>(c: Context<UserEnv>, value: T) {
  // The body is the JSON of `value`: typed as `c.json` would have typed it.
  return singleJson(c, stringifyWithRaw(value)) as unknown as ReturnType<typeof c.json<T, 200>>;
}
