/**
 * The tests' client of the public HTTP API: requests, their bodies, tokens, and the assertions on every
 * reply.
 */
import { env, exports } from "cloudflare:workers";
import type { z } from "@hono/zod-openapi";
import type { ExpectStatic } from "vitest";
import { errorSchema } from "../../../src/api/schemas.ts";
import { createTokens, type Tokens } from "../../../src/identity/tokens.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { depsOf, type ServiceDeps } from "../../../src/services.ts";

export const API = "https://assay.test/api/silicon-mark/v1";
export const V0 = "https://assay.test/v0";

export interface Reply<Body = Record<string, unknown>> {
  status: number;
  headers: Headers;
  /** Parsed JSON, or null for an empty body. */
  body: Body;
  text: string;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read bodies of every shape; contracts are asserted by parsing
export type Json = any;

export async function call(
  method: string,
  url: string,
  options: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Reply<Json>> {
  const headers = new Headers(options.headers);
  // Each call gets a random address, so that tests do not share a rate limit.
  if (!headers.has("cf-connecting-ip")) headers.set("cf-connecting-ip", randomAddress());
  if (options.token !== undefined) headers.set("authorization", `Bearer ${options.token}`);
  const init: RequestInit = { method, headers };
  if (options.body !== undefined) {
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    init.body =
      typeof options.body === "string" || options.body instanceof ReadableStream
        ? options.body
        : options.body instanceof Uint8Array
          ? new Uint8Array(options.body)
          : JSON.stringify(options.body);
  }
  const target = url.startsWith("http") ? url : `${API}${url}`;
  const response = await exports.default.fetch(new Request(target, init));
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text !== "" ? JSON.parse(text) : null,
    text,
  };
}

export function randomAddress(): string {
  return [10, ...crypto.getRandomValues(new Uint8Array(3))].join(".");
}

/** Dependencies of an app built by a test: the running Worker's bindings unless replaced. */
export function appDeps(changes: Partial<ServiceDeps> = {}): ServiceDeps {
  return { ...depsOf(env), ...changes };
}

let sharedTokens: Promise<Tokens> | undefined;

export function tokens(): Promise<Tokens> {
  sharedTokens ??= createTokens(readConfig(env).tokenSecrets, systemClock);
  return sharedTokens;
}

let serial = 0;

export function claim(
  runner: { uuid: string; key: string },
  body?: Record<string, unknown>,
): Promise<Reply<Json>> {
  return call("POST", `${V0}/runners/${runner.uuid}/jobs`, { token: runner.key, body });
}

export function machineUuid(): string {
  serial++;
  return `00000000-0000-4000-8000-${serial.toString(16).padStart(12, "0")}`;
}

/** Nodes authenticate with the token of their job, and most with that of their task. */
export interface JobToken {
  token: string;
  taskToken?: string | null;
}

export function taskHeader({ taskToken }: JobToken): Record<string, string> {
  return taskToken ? { "assay-task-token": taskToken } : {};
}

/** A job as a runner has claimed it. */
export function claimedBy({ body }: Reply<Json>): JobToken & { id: string; task: Json } {
  const { job_id: id, token, task } = body;
  return { id, token, task, taskToken: task.task_token };
}

let secrets = 0;

export function joinSecret(): string {
  secrets++;
  return `secret-of-an-agent-${String(secrets).padStart(8, "0")}`;
}

export function join(job: JobToken, machine: Record<string, unknown> = {}): Promise<Reply<Json>> {
  return call("POST", "/jobs/current/tasks", {
    token: job.token,
    body: { machine_uuid: machineUuid(), gpu_model: "NVIDIA H100 NVL", gpu_count: 1, ...machine },
  });
}

export function poll(
  job: JobToken,
  taskId?: string,
  headers: Record<string, string> = {},
): Promise<Reply<Json>> {
  const query = taskId === undefined ? "" : `?task_id=${taskId}`;
  const sent = { ...taskHeader(job), ...headers };
  return call("GET", `/jobs/current${query}`, { token: job.token, headers: sent });
}

export const QUICK_MARK_RESULTS = {
  test_results: [{ gpu_id: "GPU-0", bf16_tflops: 452.2, memory_bandwidth_gbs: 3254.42 }],
};

export function resultBody(results: unknown = QUICK_MARK_RESULTS) {
  return {
    state: "completed",
    started_at: "2026-01-01T00:00:00Z",
    ended_at: "2026-01-01T00:05:00Z",
    results,
  };
}

export function putResult(
  job: JobToken,
  taskId: string,
  position: number,
  body: unknown = resultBody(),
): Promise<Reply<Json>> {
  return call("PUT", `/jobs/current/tasks/${taskId}/results/${position}`, {
    token: job.token,
    body,
    headers: taskHeader(job),
  });
}

export function heartbeat(
  job: JobToken,
  taskId: string,
  body: Record<string, unknown> = { progress: 0.5 },
): Promise<Reply<Json>> {
  const path = `/jobs/current/tasks/${taskId}`;
  return call("PATCH", path, { token: job.token, body, headers: taskHeader(job) });
}

export function detail(job: { id: string; owner: { token: string } }): Promise<Reply<Json>> {
  return call("GET", `/jobs/${job.id}`, { token: job.owner.token });
}

interface RouteWithJson {
  responses: { [status: number]: { description: string; content?: object } };
}

/** Asserts that a body is exactly what the route's contract declares: no key missing, none extra. */
export function expectContract(
  expect: ExpectStatic,
  reply: Reply<unknown>,
  route: RouteWithJson,
  status: number,
): void {
  expect(reply.status, reply.text).toBe(status);
  // The cast names the zod schema of the route. Parsing drops unknown keys, so an extra key shows.
  const content = route.responses[status]?.content as { "application/json": { schema: z.ZodType } };
  const { schema } = content["application/json"];
  expect(schema.parse(reply.body)).toEqual(reply.body);
}

/** A message names its field once: before the detail, or within a sentence with which the detail begins. */
function expectDetail(
  expect: ExpectStatic,
  message: string,
  detail: { field: string; message: string },
): void {
  expect(message).not.toMatch(/^(must|is) /);
  expect(detail.message.startsWith(`${detail.field} `), detail.message).toBe(false);
  if (message.endsWith("…")) return;
  const sentence = `${detail.field || "The request"} ${detail.message}`;
  if (!detail.message.startsWith(message)) expect(message).toBe(sentence);
}

/** Asserts the common error body: docs/contract.md, "HTTP rules". */
export function expectError(
  expect: ExpectStatic,
  reply: Reply<Json>,
  status: number,
  code: string,
  message?: string,
): void {
  expect(reply.status, reply.text).toBe(status);
  expect(errorSchema.strict().parse(reply.body), reply.text).toEqual(reply.body);
  expect(reply.body.error.code).toBe(code);
  expect(reply.body.message).toBe(reply.body.error.message);
  const [first] = reply.body.error.details ?? [];
  if (first !== undefined) expectDetail(expect, reply.body.message, first);
  expect(reply.body.request_id).toBe(reply.headers.get("x-request-id"));
  if (message !== undefined) expect(reply.body.message).toBe(message);
}
