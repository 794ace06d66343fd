import type { Context } from "hono";
import type { CallerPlace } from "../coordinator/client.ts";
import { invalid, unauthorized } from "../http/errors.ts";
import { empty, filledUnlessKnown, storedJson } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import type { NodeEnv } from "../identity/guards.ts";
import type { Identity } from "../identity/service.ts";
import type { ReadAnonymousJob } from "../jobs/anonymous/reading.ts";
import { heartbeatRoute, joinRoute, pollRoute, resultRoute } from "./contract.ts";
import type { NodeCall, NodesService } from "./service.ts";

interface NodesDeps {
  nodes: NodesService;
  readAnonymous: ReadAnonymousJob;
  identity: Identity;
}

/** The node protocol. JSON written by the job's object is passed on unchanged. */
export const nodesRoutes = ({ nodes, readAnonymous, identity }: NodesDeps) => {
  const callOf = callsWith(identity);

  return [
    serve(pollRoute, async (c) => {
      const { task_id } = c.req.valid("query");
      c.set("isRoutine", true);
      const validator = c.req.header("If-None-Match") ?? null;
      if (c.get("reading")) {
        const { jobId, works } = c.get("pass");
        const using = { db: c.get("databases").session, meter: c.get("meter") };
        const reading = await readAnonymous(using, jobId);
        if (reading !== null) {
          announce(c, reading.etag, reading.pollAfterSeconds);
          return filledUnlessKnown(c, reading.pieces, reading.source, reading.etag);
        }
        // The job is deleted; its nodes are told to stop while their token still joins.
        if (!works) throw unauthorized(invalid("job token"));
      }
      const call = await callOf(c, task_id);
      const reply = await nodes.poll(call, c.get("databases"), task_id ?? null, validator);
      announce(c, reply.etag, reply.pollAfterSeconds);
      return reply.view === null ? empty(c, 304) : storedJson(c, reply.view);
    }),

    serve(joinRoute, async (c) => {
      const { taskTokens } = c.get("pass");
      const reply = await nodes.join(await callOf(c), taskTokens, c.req.valid("json"));
      announce(c, reply.etag, reply.pollAfterSeconds);
      return c.json(reply.task, reply.created ? 201 : 200);
    }),

    serve(heartbeatRoute, async (c) => {
      const { task_id } = c.req.valid("param");
      const update = c.req.valid("json");
      if (update.state === undefined) c.set("isRoutine", true);
      const reply = await nodes.heartbeat(await callOf(c, task_id), task_id, update);
      announce(c, reply.etag, reply.pollAfterSeconds);
      return storedJson(c, reply.task);
    }),

    // The job's object parses and validates the body.
    serve(resultRoute, async (c) => {
      const { task_id, position } = c.req.valid("param");
      const text = await c.req.text();
      const call = await callOf(c, task_id);
      const { etag, body } = await nodes.putResult(call, task_id, position, text);
      announce(c, etag, body.poll_after_seconds);
      return c.json(body, 200);
    }),
  ];
};

/** @param taskId of the node whose token the call needs, if it has one */
const callsWith =
  (identity: Identity) =>
  async (c: Context<NodeEnv>, taskId?: number): Promise<NodeCall> => {
    const token = c.req.header("Assay-Task-Token");
    return {
      jobId: c.get("pass").jobId,
      meter: c.get("meter"),
      // The place where the request entered the network; absent in tests.
      place: c.req.raw.cf as CallerPlace | undefined,
      epoch:
        token === undefined || taskId === undefined ? null : await identity.epochOf(token, taskId),
    };
  };

/** Every reply of the protocol has the ETag of the node's view and the time of its next poll. */
function announce(c: Context<NodeEnv>, etag: string, pollAfterSeconds: number): void {
  c.header("ETag", etag);
  c.header("Retry-After", String(Math.ceil(pollAfterSeconds)));
}
