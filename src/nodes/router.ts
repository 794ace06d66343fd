import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { matchesEntityTag } from "../http/entity-tag.ts";
import { unauthorized } from "../http/errors.ts";
import { JSON_BODY_LIMIT, MIB, readBody } from "../http/json-body.ts";
import type { RateLimits } from "../http/rate-limit.ts";
import { siteOf } from "../http/site.ts";
import { throwOnInvalid } from "../http/validation.ts";
import type { Guards, NodeEnv } from "../identity/guards.ts";
import type { ReadAnonymousJob } from "../jobs/anonymous/reading.ts";
import {
  generateReportRoute,
  heartbeatRoute,
  joinRoute,
  pollRoute,
  resultRoute,
} from "./contract.ts";
import type { NodeCall, NodesService } from "./service.ts";

/** One result (contract §2, Limits). */
const RESULT_BODY_LIMIT = MIB;

interface NodesRouterDeps {
  nodes: NodesService;
  readAnonymous: ReadAnonymousJob;
  guards: Guards;
  limits: RateLimits;
}

export function createNodesRouter(deps: NodesRouterDeps) {
  const { nodes, readAnonymous, guards, limits } = deps;
  const router = new OpenAPIHono<NodeEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...pollRoute, middleware: guards.nodeOrReader }, async (c) => {
    const { task_id } = c.req.valid("query");
    const known = c.req.header("If-None-Match") ?? null;
    if (c.get("reading")) {
      const { jobId, works } = c.get("pass");
      const using = { db: c.get("databases").session, meter: c.get("meter") };
      const reading = await readAnonymous(using, jobId);
      if (reading !== null) {
        announce(c, reading.etag, reading.pollAfterSeconds);
        return matchesEntityTag(known, reading.etag)
          ? c.body(null, 304)
          : storedJson(c, reading.text, 200);
      }
      // Deleted: while its nodes may call, they are told to stop.
      if (!works) throw unauthorized();
    }
    const reply = await nodes.poll(callOf(c), task_id ?? null, known);
    announce(c, reply.etag, reply.pollAfterSeconds);
    return reply.view === null ? c.body(null, 304) : storedJson(c, reply.view, 200);
  });

  router.openapi(
    { ...joinRoute, middleware: [guards.node, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const reply = await nodes.join(callOf(c), c.req.valid("json"));
      announce(c, reply.etag, reply.pollAfterSeconds);
      return storedJson(c, reply.task, reply.created ? 201 : 200);
    },
  );

  router.openapi(
    { ...heartbeatRoute, middleware: [guards.node, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { task_id } = c.req.valid("param");
      const reply = await nodes.heartbeat(callOf(c), task_id, c.req.valid("json"));
      announce(c, reply.etag, reply.pollAfterSeconds);
      return storedJson(c, reply.task, 200);
    },
  );

  router.openapi(
    { ...resultRoute, middleware: [guards.node, readBody(RESULT_BODY_LIMIT)] as const },
    async (c) => {
      const { task_id, position } = c.req.valid("param");
      const { etag, body } = await nodes.putResult(
        callOf(c),
        task_id,
        position,
        c.req.valid("json"),
      );
      announce(c, etag, body.poll_after_seconds);
      return c.json(body, 200);
    },
  );

  router.openapi({ ...generateReportRoute, middleware: guards.node }, async (c) => {
    const { jobId } = c.get("pass");
    await limits.check(c, "report", String(jobId));
    const { job_id } = c.req.valid("param");
    const db = c.get("databases").primary;
    const url = await nodes.generateReport(db, { jobId, asked: job_id }, siteOf(c));
    return c.json({ pdf_report_url: url }, 202);
  });

  return router;
}

function callOf(c: Context<NodeEnv>): NodeCall {
  // Present on the platform, absent in tests: where the request entered the network.
  const cf = c.req.raw.cf as { continent?: string; longitude?: string } | undefined;
  return { jobId: c.get("pass").jobId, meter: c.get("meter"), place: cf };
}

/** Every reply of the protocol says what the node sees and when to ask again (design §5). */
function announce(c: Context<NodeEnv>, etag: string, pollAfterSeconds: number): void {
  c.header("ETag", etag);
  c.header("Retry-After", String(Math.ceil(pollAfterSeconds)));
}

/** JSON that the object has written, or a reading. */
function storedJson<Status extends 200 | 201>(c: Context<NodeEnv>, text: string, status: Status) {
  const response = c.body(text, status, { "Content-Type": "application/json" });
  // Its form is that of `NodeView`, with the detail that is read, or `TaskWire`, which the contract declares; tests parse it strictly.
  return response as never;
}
