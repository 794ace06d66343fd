/** The command line against a server and a network that fail in every way. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type Answer,
  cut,
  cutBody,
  error,
  type FakeServer,
  json,
  startFakeServer,
} from "./fake-server.ts";
import { buildCli, type CliProgram } from "./program.ts";

const SPEC = {
  uuid: "65a04d39-ded3-47a5-9606-d7c5bdbdca1a",
  name: "H100",
  slug: "h100",
  os: "linux",
  architecture: "x86_64",
  cpu: 26,
  memory: 2 ** 37,
  disk: 2 ** 40,
  network: false,
  created: "2026-11-22T03:27:43.018Z",
  modified: "2026-11-22T03:27:43.018Z",
  archived: null,
};
const CREATE =
  "spec create --name H100 --architecture x86_64 --cpu 26 --memory 128GiB --disk 1TiB".split(" ");

let cli: CliProgram;
let server: FakeServer;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.remove());
beforeEach(async () => {
  server = await startFakeServer();
  env = { ASSAY_HOST: server.url, ASSAY_TOKEN: "t" };
});
afterEach(() => server.close());

const view = (...answers: Answer[]) => {
  server.on("GET /v0/specs/h100", ...answers);
  return cli.run(["spec", "view", "h100", "--json"], env);
};

describe.each([
  ["503", error(503, "SERVICE_UNAVAILABLE", "Try again", { "retry-after": "0" })],
  ["502 of a proxy", (response) => void response.writeHead(502).end("<html>bad gateway</html>")],
  ["429 with a short wait", error(429, "TOO_MANY_REQUESTS", "Slow down", { "retry-after": "1" })],
  ["a connection that is cut", cut],
  ["a body that is cut", cutBody],
] as [string, Answer][])("after %s", (_, fault) => {
  test("a reading is repeated", async () => {
    const { code, stdout, stderr } = await view(fault, fault, json(200, SPEC));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual(SPEC);
    expect(server.seen).toHaveLength(3);
  });

  test("a creation is repeated with the same key", async () => {
    server.on("POST /v0/specs", fault, json(201, SPEC));
    const { code, stderr } = await cli.run(CREATE, env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[\x21-\x7e]+$/);
    expect(new Set(server.seen.map(({ body }) => body)).size).toBe(1);
  });
});

test("two runs create with two keys, and --idempotency-key is sent as it is", async () => {
  server.on("POST /v0/specs", json(201, SPEC));
  await cli.run(CREATE, env);
  await cli.run(CREATE, env);
  await cli.run([...CREATE, "--idempotency-key", "nightly-1"], env);
  const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
  expect(new Set(keys).size).toBe(3);
  expect(keys[2]).toBe("nightly-1");
});

test("repeats end after five attempts, with exit code 69", async () => {
  const { code, stderr } = await view(
    error(503, "SERVICE_UNAVAILABLE", "Out of order", { "retry-after": "0" }),
  );
  expect(code).toBe(69);
  expect(stderr).toBe("assay: Out of order: try again shortly (request r-1)\n");
  expect(server.seen).toHaveLength(5);
});

test("a long wait is not waited for, and is said", async () => {
  const { code, stderr } = await view(
    error(429, "TOO_MANY_REQUESTS", "Slow down", { "retry-after": "600" }),
  );
  expect(code).toBe(69);
  expect(stderr).toBe("assay: Slow down: try again in 10 min (request r-1)\n");
  expect(server.seen).toHaveLength(1);
});

test("a deletion whose first reply was lost has succeeded", async () => {
  server.on("DELETE /v0/specs/h100", cut, error(404, "RESOURCE_NOT_FOUND", "gone"));
  expect(await cli.run(["spec", "delete", "h100", "--json"], env)).toEqual({
    code: 0,
    stdout: '{\n  "deleted": "h100"\n}\n',
    stderr: "",
  });
  server.on("DELETE /v0/specs/h100", error(404, "RESOURCE_NOT_FOUND", "There is no such spec"));
  expect((await cli.run(["spec", "delete", "h100"], env)).code).toBe(1);
});

test("aborting, which does no more the second time, is repeated", async () => {
  const path = "/api/silicon-mark/v1/jobs/7554621440/abort";
  server.on(
    `POST ${path}`,
    cut,
    json(200, { id: "7554621440", state: "aborted", ended_at: SPEC.created }),
  );
  expect((await cli.run(["job", "abort", "7554621440"], env)).code).toBe(0);
  expect(server.seen).toHaveLength(2);
});

test("a key that only a lost reply has shown is told so", async () => {
  server.on("POST /v0/runners", cut, json(201, { uuid: SPEC.uuid, key: null }));
  const { code, stdout, stderr } = await cli.run(["runner", "create", "--name", "Rack 7"], env);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toContain(`assay runner key ${SPEC.uuid}`);
});

test.each([
  [400, "PARAMETER_INCORRECT_VALUE", 1],
  [401, "CLIENT_TOKEN_INVALID", 77],
  [403, "PERMISSION_DENIED", 77],
  [404, "RESOURCE_NOT_FOUND", 1],
  [409, "RESOURCE_IN_USE", 1],
  [500, "INTERNAL_ERROR", 1],
])("%i is one sentence with the request's id and exit code %i", async (status, code, exit) => {
  const ended = await view(error(status, code, "It cannot be done\x1b[31m"));
  expect(ended.code).toBe(exit);
  expect(ended.stdout).toBe("");
  expect(ended.stderr).toMatch(/^assay: It cannot be done\ufffd\[31m.* \(request r-1\)\n$/);
  expect(server.seen).toHaveLength(1);
});

test("nobody listens: exit code 69, and nothing about code", async () => {
  await server.close();
  const { code, stderr } = await cli.run(["spec", "list"], env);
  expect(code).toBe(69);
  expect(stderr).toBe(
    `assay: ${server.url} cannot be reached: nothing listens on this port. Check the address and the network\n`,
  );
  server = await startFakeServer();
});

test("a page in place of JSON names --host", async () => {
  const page: Answer = (response) => void response.writeHead(200).end("<html>Sign in</html>");
  const { code, stderr } = await view(page);
  expect(code).toBe(69);
  expect(stderr).toContain("check that --host names an Assay server");
});

test("no redirect is followed, so that the token goes nowhere else", async () => {
  const other = await startFakeServer();
  const redirect: Answer = (response) =>
    void response.writeHead(307, { location: `${other.url}/v0/specs/h100` }).end();
  const { code, stderr } = await view(redirect);
  expect(code).toBe(69);
  expect(stderr).toContain(other.url);
  expect(other.seen).toEqual([]);
  await other.close();
});

describe("lists", () => {
  const page = (from: number, next: string | null): Answer =>
    json(200, [{ ...SPEC, slug: `spec-${from}` }], {
      "x-total-count": "3",
      ...(next === null
        ? {}
        : { link: `<${server.url}/v0/specs?cursor=${next}&per_page=255>; rel="next"` }),
    });

  test("--all walks the cursors, through faults, into one document", async () => {
    server.on("GET /v0/specs", page(1, "a"), cut, page(2, "b"), page(3, null));
    const { code, stdout } = await cli.run(["spec", "list", "--all", "--json"], env);
    expect(code).toBe(0);
    const { results, total, next_cursor } = JSON.parse(stdout);
    expect(results.map(({ slug }: { slug: string }) => slug)).toEqual([
      "spec-1",
      "spec-2",
      "spec-3",
    ]);
    expect({ total, next_cursor }).toEqual({ total: 3, next_cursor: null });
    expect(server.seen.map(({ path }) => path)).toEqual([
      "/v0/specs?per_page=255",
      "/v0/specs?per_page=255&cursor=a",
      "/v0/specs?per_page=255&cursor=a",
      "/v0/specs?per_page=255&cursor=b",
    ]);
  });

  test("a walk that fails in its middle ends with 69", async () => {
    const broken = error(503, "SERVICE_UNAVAILABLE", "Out of order", { "retry-after": "0" });
    server.on("GET /v0/specs", page(1, "a"), broken);
    expect((await cli.run(["spec", "list", "--all"], env)).code).toBe(69);
  });

  test("filters are those of the API, by their own names or as options", async () => {
    const empty = json(200, { results: [], pagination: { total: 0, next_cursor: null } });
    server.on("GET /api/silicon-mark/v1/jobs", empty);
    const by = ["--filter", "state=failed", "--filter", "tags=a", "--filter", "tags=b c"];
    const ended = await cli.run(
      ["job", "list", ...by, "--created-after", "2d", "--has-findings"],
      env,
    );
    expect(ended).toEqual({ code: 0, stdout: "", stderr: "nothing found\n" });
    const query = new URL(server.seen[0]?.path ?? "", server.url).searchParams;
    expect(query.get("state")).toBe("failed");
    expect(query.getAll("tags")).toEqual(["a", "b c"]);
    expect(query.get("has_findings")).toBe("true");
    const age = Date.now() - Date.parse(query.get("created_after") ?? "");
    expect(age).toBeGreaterThanOrEqual(2 * 86_400_000);
    expect(age).toBeLessThan(2 * 86_400_000 + 600_000);
  });

  test.each([
    [["--filter", "status=failed"], "status=failed"],
    [["--filter", "state=broken"], "state must be one of"],
    [["--filter", "created_after=soon"], "created_after must be"],
    [["--state", "broken"], "Allowed choices are"],
    [["--per-page", "0"], "from 1 to 300"],
    [["--all", "--page", "2"], "cannot be used with"],
  ])("%j is refused before anything is sent", async (options, says) => {
    const { code, stderr } = await cli.run(["job", "list", ...options], env);
    expect(code).toBe(2);
    expect(stderr).toContain(says);
    expect(server.seen).toEqual([]);
  });
});

test("a reader that has read enough ends the program in peace", async () => {
  server.on("GET /v0/specs", json(200, Array(200).fill(SPEC), { "x-total-count": "200" }));
  const { child, ended, output } = cli.start(["spec", "list"], env);
  child.stdout?.destroy();
  await ended;
  expect(output.stderr).toBe("");
});
