import type { Context } from "hono";
import { toPagination } from "../api/lists.ts";
import { CATALOGUE } from "../benchmarks/catalogue.ts";
import { entityTagOf, matchesEntityTag } from "../http/entity-tag.ts";
import { invalidField } from "../http/errors.ts";
import { readIdempotencyKey } from "../http/idempotency.ts";
import { announcePage } from "../http/paging.ts";
import { piecesOf } from "../http/raw-json.ts";
import { created, hashOf, json, single, singleFilled, singleText } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { siteOf } from "../http/site.ts";
import { scopeOf } from "../identity/actor.ts";
import type { UserEnv } from "../identity/guards.ts";
import { originOf } from "../identity/origin.ts";
import { toTimestamp } from "../lib/clock.ts";
import type { Reference } from "../lib/references.ts";
import type { WakeRunners } from "../lobbies/wake.ts";
import type { ReportLinks } from "../reports/links.ts";
import { listBenchmarksRoute, toBenchmarkWire } from "./catalogue-contract.ts";
import {
  abortJobRoute,
  createJobRoute,
  deleteJobByIdRoute,
  deleteJobRoute,
  getJobResultsRoute,
  getJobRoute,
  getJobStatsRoute,
  listJobsRoute,
  listJobTagsRoute,
  streamJobEventsRoute,
} from "./contract.ts";
import { MAX_TAGS } from "./create-schema.ts";
import { toCreatedJob } from "./created-wire.ts";
import { countJobs } from "./list-store.ts";
import type { Caller, JobsService } from "./service.ts";
import type { WatchingDeps } from "./watching.ts";
import { type JobView, type LinkOf, toJobDetail, toJobResults, toListedJob } from "./wire.ts";

interface JobsDeps extends WatchingDeps {
  jobs: JobsService;
  links: ReportLinks;
  wakeRunners: WakeRunners;
}

export const jobsRoutes = ({ jobs, links, wakeRunners, ...watching }: JobsDeps) => [
  // The fixed paths come before the routes with an id, which would match them.
  serve(getJobStatsRoute, async (c) => {
    const { name, tags: listed, tag: older, state } = c.req.valid("query");
    const tags = [...new Set([...listed, ...older])];
    if (tags.length > MAX_TAGS) throw invalidField("tags", `must have at most ${MAX_TAGS} entries`);
    const filter = { name, tags, state, performance: "underperforming" as const };
    const alerts = await countJobs(c.get("databases").session, scopeOf(c.get("actor")), filter);
    return c.json({ alert_job_count: alerts }, 200);
  }),

  serve(createJobRoute, async (c) => {
    const input = c.req.valid("json");
    const key = readIdempotencyKey(c, input);
    const site = siteOf(c);
    const paper = await paperFor(c.req.header("Accept-Language"));
    const { row, token, replayed } = await jobs.create(callerOf(c), input, key, { site, paper });
    if (!replayed && input.spec != null) wakeFor(c, input.spec, row, wakeRunners);
    const joinSite = input.spec == null ? site : null;
    return created(c, toCreatedJob(row, token, joinSite), { replayed });
  }),

  serve(listJobsRoute, async (c) => {
    const page = await jobs.list(callerOf(c), c.req.valid("query"));
    announcePage(c, page);
    const results = page.items.map(({ row, token, nodes }) => toListedJob(row, token, nodes));
    return json(c, { results, pagination: toPagination(page) });
  }),

  serve(listJobTagsRoute, async (c) => single(c, { tags: await jobs.tags(callerOf(c)) })),

  serve(deleteJobRoute, async (c) => c.json(await deleteJob(c, jobs, c.req.valid("json").id), 200)),
  serve(deleteJobByIdRoute, async (c) =>
    c.json(await deleteJob(c, jobs, c.req.valid("param").job_id), 200),
  ),

  serve(getJobRoute, async (c) => {
    const site = siteOf(c);
    const linkOf: LinkOf = (id, hash) => (hash ? links.urlOf(site, id) : null);
    const read = async () => {
      const { view, token } = await jobs.detail(callerOf(c), c.req.valid("param").job_id);
      return { view, body: toJobDetail(view, token, linkOf, site) };
    };
    let { view, body } = await read();
    const { wait } = c.req.valid("query");
    const known = wait === 0 ? undefined : c.req.header("If-None-Match");
    if (known !== undefined && matchesEntityTag(known, tagOf(view)(hashOf(piecesOf(body))))) {
      view.bodies.source.discard();
      const { awaitChange } = await import("./watching.ts");
      if (await awaitChange(c, view, wait, watching)) ({ view, body } = await read());
    }
    return singleFilled(c, body, view.bodies.source, tagOf(view));
  }),

  serve(streamJobEventsRoute, async (c) => {
    const { streamEvents } = await import("./watching.ts");
    return streamEvents(c, c.req.valid("param").job_id, watching);
  }),

  serve(getJobResultsRoute, async (c) => {
    const view = await jobs.view(callerOf(c), c.req.valid("param").job_id, "cluster");
    const { include_display_names } = c.req.valid("query");
    const results = toJobResults(view, { displayNames: include_display_names });
    return singleFilled(c, results, view.bodies.source, tagOf(view));
  }),

  serve(abortJobRoute, async (c) => {
    const { job_id } = c.req.valid("param");
    const { endedAt } = await jobs.abort(callerOf(c), job_id);
    const state = "aborted" as const;
    return c.json({ id: String(job_id), state, ended_at: toTimestamp(endedAt) }, 200);
  }),

  serve(listBenchmarksRoute, (c) => singleText(c, catalogue().text, catalogue().etag)),
];

/** Loads with the first client that names its languages. */
async function paperFor(languages: string | undefined) {
  if (languages === undefined) return undefined;
  const { preferredPaper } = await import("../http/accept-language.ts");
  return preferredPaper(languages);
}

/** Tells runners that wait for jobs of the spec of a new one, after the reply. */
function wakeFor(
  c: Context<UserEnv>,
  spec: Reference,
  { nodeCount }: { nodeCount: number },
  wake: WakeRunners,
): void {
  c.executionCtx.waitUntil(wake(spec, { wants: nodeCount }));
}

/** The validator of a job's views. `If-Match` compares id and version alone. */
function tagOf({ row, job }: JobView): (rest: string) => string {
  return (rest) => `"${row.id}.${job.version}.${rest}"`;
}

/** Deletes a job in the version that `If-Match` names: by the tag of any of its views. */
async function deleteJob(c: Context<UserEnv>, jobs: JobsService, id: number) {
  const tags = c.req
    .header("If-Match")
    ?.split(",")
    .map((tag) => tag.trim().replace(/^W\//, ""));
  const isMatch = ({ row, job }: JobView) =>
    tags?.some((tag) => tag.startsWith(`"${row.id}.${job.version}.`)) === true;
  const condition = tags === undefined || tags.includes("*") ? null : isMatch;
  const { requiresAgentStop } = await jobs.remove(callerOf(c), originOf(c), id, condition);
  const message = "Job deleted successfully" as const;
  return { message, requires_agent_stop: requiresAgentStop };
}

function callerOf(c: Context<UserEnv>): Caller {
  return { actor: c.get("actor"), db: c.get("databases").session, meter: c.get("meter") };
}

let described: { text: string; etag: string } | undefined;

/** Serialized once per isolate, since it changes only with the server's version. */
function catalogue() {
  if (described === undefined) {
    const text = JSON.stringify({ benchmarks: CATALOGUE.map(toBenchmarkWire) });
    described = { text, etag: entityTagOf(text) };
  }
  return described;
}
