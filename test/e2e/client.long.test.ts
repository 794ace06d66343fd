/**
 * A client as users would make one: types generated from the API document, requests by openapi-fetch.
 * It compiles without casts, so the document says enough and says it right.
 */
import createClient from "openapi-fetch";
import { expect, test } from "vitest";
import type { paths } from "./api-types.ts";
import { createStack } from "./stack.ts";

test("create, join, report and read a job through a generated client", async () => {
  const server = await (await createStack()).start();
  const baseUrl = server.url;

  const anyone = createClient<paths>({ baseUrl });
  const { adminEmail, adminPassword } = server.secrets;
  const signIn = await anyone.POST("/token", {
    body: { grant_type: "password", username: adminEmail, password: adminPassword },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
  if (signIn.data === undefined) throw new Error(JSON.stringify(signIn.error));
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  const owner = createClient<paths>({ baseUrl, headers: bearer(signIn.data.access_token) });
  const created = await owner.POST("/api/silicon-mark/v1/jobs", {
    body: { name: "Typed", benchmarks: ["quick_mark"], node_count: 1, tags: ["client"] },
  });
  if (created.data === undefined) throw new Error(JSON.stringify(created.error));
  const { id: job_id, token } = created.data;

  const node = createClient<paths>({ baseUrl, headers: bearer(token) });
  const joined = await node.POST("/api/silicon-mark/v1/jobs/current/tasks", {
    body: {
      machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
      gpu_model: "NVIDIA H100 NVL",
      join_secret: "a-secret-of-22-characters",
    },
  });
  const task_id = joined.data?.id ?? "";
  const header = { "Assay-Task-Token": joined.data?.task_token ?? "" };
  const view = await node.GET("/api/silicon-mark/v1/jobs/current", {
    params: { query: { task_id }, header },
  });
  expect(view.data?.directive).toBe("run");
  expect(view.data?.step?.benchmark_id).toBe("quick_mark");

  const sent = await node.PUT(
    "/api/silicon-mark/v1/jobs/current/tasks/{task_id}/results/{position}",
    {
      params: { path: { task_id, position: 0 }, header },
      body: {
        state: "completed",
        started_at: "2026-01-01T00:00:00Z",
        ended_at: "2026-01-01T00:05:00Z",
        results: { aggregate_results: { bf16_tflops: 452.2, memory_bandwidth_gbs: 3254.42 } },
      },
    },
  );
  expect(sent.data?.poll_after_seconds).toBe(0);

  const detail = await owner.GET("/api/silicon-mark/v1/jobs/{job_id}", {
    params: { path: { job_id } },
  });
  expect(detail.data?.state).toBe("completed");
  expect(detail.data?.tasks[0]?.benchmark_results.quick_mark?.state).toBe("completed");
  expect(detail.data?.quickmark_aggregate_results?.metrics.bf16_tflops?.total).toBe(452.2);

  const list = await owner.GET("/api/silicon-mark/v1/jobs", { params: { query: { per_page: 5 } } });
  expect(list.data?.results.map((job) => job.id)).toEqual([job_id]);
  expect(list.response.headers.get("x-total-count")).toBe("1");

  const unknown = await owner.GET("/api/silicon-mark/v1/jobs/{job_id}", {
    params: { path: { job_id: "7554621440" } },
  });
  expect(unknown.error?.error.code).toBe("RESOURCE_NOT_FOUND");
});
