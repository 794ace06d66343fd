/** One error body for every failure, and bodies that are not what they should be. */
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { ERROR_RESPONSES } from "../../../src/api/error-responses.ts";
import { ERRORS, type ErrorCode } from "../../../src/api/errors.ts";
import { createApp } from "../../../src/app.ts";
import { TimeoutError } from "../../../src/lib/platform-failure.ts";
import { appDeps, call, expectError, V0 } from "../harness/client.ts";
import { createPerson } from "../harness/factories.ts";

const { token } = await createPerson();

function post(body: unknown, headers: Record<string, string> = {}) {
  return call("POST", "/jobs", { token, body, headers });
}

describe("bodies", () => {
  test.for([
    ["malformed JSON", '{"benchmarks":', "The body is not valid JSON"],
    ["an empty body", "", "The request must have a body"],
    [
      "nesting of more than 100 levels",
      `{"benchmarks":${"[".repeat(101)}${"]".repeat(101)}}`,
      "The body is nested more than 100 levels deep",
    ],
    [
      "an integer beyond 2^53 deep inside",
      '{"benchmarks":[],"x":[{"y":9007199254740993}]}',
      "x.0.y must be at most 9007199254740991 (2^53 - 1): larger integers are not exact",
    ],
    ["a list", "[]", "The body must be a JSON object"],
    ["a number", "7", "The body must be a JSON object"],
    ["null", "null", "The body must be a JSON object"],
    ["broken UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), "The body is not valid UTF-8"],
    [
      "an integer beyond 2^53",
      '{"benchmarks":[],"node_count":9007199254740993}',
      "node_count must be at most 9007199254740991 (2^53 - 1): larger integers are not exact",
    ],
    [
      "a number that overflows",
      '{"benchmarks":[],"node_count":1e400}',
      "node_count is a number too large to represent",
    ],
  ] as const)("%s: 400", async ([, body, message], { expect }) => {
    expectError(expect, await post(body), 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("the last of duplicate keys wins; __proto__ is only a key", async ({ expect }) => {
    const twice = await post('{"benchmarks":["unknown"],"benchmarks":["quick_mark"]}');
    expect(twice.status, twice.text).toBe(201);
    const proto = await post('{"benchmarks":[],"__proto__":{"node_count":9}}');
    expect(proto.body.node_count, proto.text).toBe(1);
  });

  test("what a message repeats of the request is cut to what the document promises", async ({
    expect,
  }) => {
    const config = { [`${"😀".repeat(3_000)}`]: 1 };
    const reply = await post({ benchmarks: [{ benchmark_id: "quick_mark", config }] });
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect([...reply.body.message]).toHaveLength(2_048);
    expect([...reply.body.error.details[0].field]).toHaveLength(512);
    expect(reply.body.message.isWellFormed()).toBe(true);
  });

  test("deep nesting is refused, not a crash", async ({ expect }) => {
    const reply = await post(`{"benchmarks":${"[".repeat(50_000)}${"]".repeat(50_000)}}`);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
  });

  test.for([
    ["text", "text/plain"],
    ["a form", "application/x-www-form-urlencoded"],
    ["JSON in disguise", "application/jsonx"],
  ] as const)("%s instead of JSON: 415", async ([, type], { expect }) => {
    const reply = await post("{}", { "content-type": type });
    const message = "The body must be JSON: send Content-Type: application/json";
    expectError(expect, reply, 415, "UNSUPPORTED_MEDIA_TYPE", message);
  });

  test("the media type comes before what is wrong with the path, or with the text", async ({
    expect,
  }) => {
    const admin = await createPerson({ role: "root_admin" });
    const text = { "content-type": "text/plain" };
    for (const [method, path, body] of [
      ["PATCH", `${V0}/specs/A--b`, "{}"],
      ["POST", `${V0}/specs`, new Uint8Array([0xff])],
    ] as const) {
      const reply = await call(method, path, { token: admin.token, body, headers: text });
      expectError(expect, reply, 415, "UNSUPPORTED_MEDIA_TYPE");
    }
  });

  test("no body and no type: 400, since Content-Type is looked at only when there is a body", async ({
    expect,
  }) => {
    expectError(expect, await call("POST", "/jobs", { token }), 400, "PARAMETER_INCORRECT_VALUE");
  });

  test("JSON with a charset, and JSON of a vendor, are JSON", async ({ expect }) => {
    for (const type of ["application/json; charset=utf-8", "application/vnd.api+json"]) {
      expect((await post({ benchmarks: [] }, { "content-type": type })).status).toBe(201);
    }
  });

  test("256 KiB and a byte: 413, also when the length is not announced", async ({ expect }) => {
    const fill = (bytes: number) => {
      const rest = '{"benchmarks":[],"x":""}';
      return `{"benchmarks":[],"x":"${"y".repeat(bytes - rest.length)}"}`;
    };
    expect((await post(fill(262_144))).status).toBe(201);
    const message = "The body must have at most 262144 bytes";
    expectError(expect, await post(fill(262_145)), 413, "REQUEST_TOO_LARGE", message);
    const chunked = new ReadableStream({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode("x".repeat(65_536)));
      },
    });
    expectError(expect, await post(chunked), 413, "REQUEST_TOO_LARGE", message);
  });

  test("an announced length changes nothing: neither a true one nor one that lies", async ({
    expect,
  }) => {
    const announced = (text: string, length: string) => post(text, { "content-length": length });
    const small = '{"benchmarks":[]}';
    expect((await announced(small, String(small.length))).status).toBe(201);
    const large = `{"benchmarks":[],"x":"${"y".repeat(262_144)}"}`;
    for (const length of ["10", "", "many", "-1", String(large.length)]) {
      expectError(expect, await announced(large, length), 413, "REQUEST_TOO_LARGE");
    }
    expectError(expect, await announced("", "10"), 400, "PARAMETER_INCORRECT_VALUE");
  });
});

describe("routes", () => {
  test("an unknown path: 404 in the one error body", async ({ expect }) => {
    const reply = await call("GET", "https://assay.test/nowhere/at/all");
    expectError(expect, reply, 404, "RESOURCE_NOT_FOUND", "No route for GET /nowhere/at/all");
  });

  test("authentication comes before validation", async ({ expect }) => {
    const reply = await call("POST", "/jobs", { body: "not json" });
    expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID");
  });
});

describe("our own failures", () => {
  test("a thrown error: 500, opaque to the client, whole in the log under the same request id", async ({
    expect,
  }) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(env.DB, "withSession").mockImplementationOnce(() => {
      throw new Error("secret internals of table users");
    });
    onTestFinished(() => void vi.restoreAllMocks());
    const reply = await call("GET", "/jobs", { token });
    expectError(expect, reply, 500, "INTERNAL_ERROR", "Something went wrong on our side");
    expect(reply.text).not.toContain("secret");
    const line = JSON.parse(logged.mock.calls[0]?.[0]);
    expect(line.request_id).toBe(reply.body.request_id);
    expect(line.causes.join()).toContain("secret internals");
  });

  test("a failed query: the log has its statement and its cause, not its parameters", async ({
    expect,
  }) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const admin = await createPerson({ role: "root_admin" });
    const broken = (query: string) =>
      env.DB.prepare(query.replaceAll(/"(specs|audit_events)"/g, '"gone"'));
    const d1 = { prepare: broken, batch: env.DB.batch.bind(env.DB) } as unknown as D1Database;
    const app = await createApp(
      appDeps({
        d1: Object.assign(d1, { withSession: () => ({ ...d1, getBookmark: () => null }) }),
      }),
    );
    const view = (token: string) =>
      app.request(`${V0}/specs/my-parameter`, { headers: { authorization: `Bearer ${token}` } });
    const refused = await createPerson();
    expect((await view(admin.token)).status).toBe(500);
    expect((await view(refused.token)).status, "though it cannot be audited").toBe(403);
    const lines = logged.mock.calls.map(([line]) => JSON.parse(line));
    expect(lines).toHaveLength(2);
    for (const { causes } of lines) {
      expect(causes[0]).toMatch(/^Failed query: (select|insert into) /);
      expect(causes.join()).toContain("no such table: gone");
      expect(causes.join()).not.toMatch(/params|my-parameter/);
      expect(causes.join()).not.toContain(refused.uuid);
    }
  });

  test("a database that hangs: 503 with Retry-After, wherever the query stood", async ({
    expect,
  }) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const hanging = () => Promise.reject(new TimeoutError("D1 query took over 10000 ms"));
    const statement = { bind: () => statement, run: hanging, all: hanging, raw: hanging };
    // The part of a D1 database that the database handle uses.
    const d1 = { prepare: () => statement, batch: hanging } as unknown as D1Database;
    const app = await createApp(
      appDeps({
        d1: Object.assign(d1, { withSession: () => ({ ...d1, getBookmark: () => null }) }),
      }),
    );
    const stranger = await createPerson();
    const replies = [
      app.request("/health"),
      app.request("/api/silicon-mark/v1/jobs", {
        headers: { authorization: `Bearer ${stranger.token}` },
      }),
      app.request("/token", {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: `grant_type=password&username=${stranger.uuid}@example.com&password=x`,
      }),
    ];
    for (const reply of await Promise.all(replies)) {
      expect(reply.status, reply.url).toBe(503);
      expect(reply.headers.get("retry-after")).toBe("5");
    }
  });

  test("health: 503 while the database does not answer", async ({ expect }) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(env.DB, "prepare").mockImplementationOnce(() => {
      throw new Error("D1_ERROR: no");
    });
    onTestFinished(() => void vi.restoreAllMocks());
    const reply = await call("GET", "https://assay.test/health");
    expectError(expect, reply, 503, "SERVICE_UNAVAILABLE");
    expect(reply.headers.get("retry-after")).toBe("5");
  });
});

describe("request ids", () => {
  test("a valid one is kept, an invalid one replaced, and each answer has one", async ({
    expect,
  }) => {
    const idFor = async (sent?: string) => {
      const headers: Record<string, string> = sent === undefined ? {} : { "x-request-id": sent };
      const reply = await call("GET", "https://assay.test/health", { headers });
      return reply.headers.get("x-request-id");
    };
    expect(await idFor("abc-123:x.y_z")).toBe("abc-123:x.y_z");
    expect(await idFor("x".repeat(128))).toBe("x".repeat(128));
    for (const bad of ["x".repeat(129), "a b", "a;b"])
      expect(await idFor(bad)).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idFor()).not.toBe(await idFor());
  });
});

test("a bookmark is handed out and accepted back; a malformed one is ignored", async ({
  expect,
}) => {
  const created = await post({ benchmarks: [] });
  const bookmark = created.headers.get("x-d1-bookmark") ?? "";
  expect(bookmark).toMatch(/^[0-9a-f-]{59}$/);
  for (const sent of [bookmark, "rubbish", ""]) {
    const reply = await call("GET", `/jobs/${created.body.id}`, {
      token,
      headers: { "x-d1-bookmark": sent },
    });
    expect(reply.status, reply.text).toBe(200);
  }
});

test("every code of the registry says what it means", ({ expect }) => {
  for (const [code, { status }] of Object.entries(ERRORS)) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(ERROR_RESPONSES[code as ErrorCode].description).toMatch(/\.$/); // Object.entries widens to string
  }
});
