import { serve } from "../../http/serve.ts";
import { siteOf } from "../../http/site.ts";
import { ANONYMOUS } from "../../identity/anonymous.ts";
import { toCreatedJob } from "../created-wire.ts";
import type { JobsService } from "../service.ts";
import { createAnonymousJobRoute } from "./contract.ts";

/** Creates jobs without an account. Their tokens read them through the node protocol (`nodes/router.ts`). */
export const anonymousJobsRoutes = ({ jobs }: { jobs: JobsService }) => [
  serve(createAnonymousJobRoute, async (c) => {
    const { description, benchmarks, node_count, tags } = c.req.valid("json");
    const caller = { actor: ANONYMOUS, db: c.get("databases").session };
    const input = { description, benchmarks, node_count, tags };
    const site = siteOf(c);
    const { row, token } = await jobs.create(caller, input, null, { site });
    return c.json(toCreatedJob(row, token, site), 201);
  }),
];
