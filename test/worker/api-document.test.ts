/** The API document, the docs page and the agent, as the Worker serves them. */
import { test } from "vitest";
import { call, createJob } from "./harness.ts";

interface Operation {
  operationId: string;
  security?: unknown[];
  responses: Record<string, unknown>;
}

async function document() {
  const reply = await call("GET", "https://assay.test/openapi.json");
  return reply.body as { openapi: string; paths: Record<string, Record<string, Operation>> };
}

test("an OpenAPI 3.1 document with every route, each with its own operation id", async ({
  expect,
}) => {
  const { openapi, paths } = await document();
  expect(openapi).toBe("3.1.0");
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => `${method} ${path} ${operationId}`),
  );
  const jobs = "/api/silicon-mark/v1/jobs";
  expect(operations.sort()).toEqual(
    [
      "post /token createToken",
      "get /api/silicon-mark/v1/benchmarks listBenchmarks",
      `post ${jobs} createJob`,
      `get ${jobs} listJobs`,
      `get ${jobs}/{job_id} getJob`,
      `get ${jobs}/{job_id}/results getJobResults`,
      `post ${jobs}/{job_id}/abort abortJob`,
      `get ${jobs}/current pollCurrentJob`,
      `post ${jobs}/current/tasks joinCurrentJob`,
      `patch ${jobs}/current/tasks/{task_id} updateCurrentTask`,
      `put ${jobs}/current/tasks/{task_id}/results/{position} putStepResult`,
    ].sort(),
  );
});

test("guarded routes declare their token and their 401", async ({ expect }) => {
  const { paths } = await document();
  for (const [path, methods] of Object.entries(paths)) {
    for (const operation of Object.values(methods)) {
      const guarded = path !== "/token";
      expect(operation.security, path).toHaveLength(guarded ? 1 : 0);
      expect("401" in operation.responses, path).toBe(guarded);
    }
  }
});

test("the document is built once and served unchanged", async ({ expect }) => {
  const [one, two] = [
    await call("GET", "https://assay.test/openapi.json"),
    await call("GET", "https://assay.test/openapi.json"),
  ];
  expect(one.text).toBe(two.text);
  expect(one.headers.get("content-type")).toContain("application/json");
});

test("static words of a path are not job ids", async ({ expect }) => {
  const job = await createJob();
  const reply = await call("GET", "/jobs/current", { token: job.token });
  expect(reply.body.directive).toBe("join");
});
