/**
 * A session of the Bencher command-line client, request by request as its public source makes them: a
 * base URL that ends in a slash before a path that begins with one, its headers, and bodies without the
 * fields that it leaves out. It wants a token of three base64url parts and bare JSON replies.
 */
import { test } from "vitest";
import { call, type Reply } from "../harness/client.ts";
import { createPerson } from "../harness/factories.ts";

const HOST = "https://assay.test/";
const admin = await createPerson({ role: "root_admin" });

function send(method: string, path: string, body?: unknown) {
  const headers = { accept: "application/json", "api-version": "0.6.12" };
  return call(method, `${HOST}${path}`, { token: admin.token, headers, body });
}

/** The client parses a reply into these fields: one that is missing ends it with an error. */
function expectSpec(reply: Reply<Record<string, unknown>>, status: number): string {
  const { uuid, name, slug, architecture, cpu, memory, disk, network, created, modified } =
    reply.body;
  const types = { uuid, name, slug, architecture, cpu, memory, disk, network, created, modified };
  const faults = Object.entries(types).filter(([, value]) => value === undefined);
  if (reply.status !== status || faults.length > 0) {
    throw new Error(`expected a spec with ${status}, got ${reply.status} ${reply.text}`);
  }
  return String(uuid);
}

test("it signs in with a token that it takes for a JWT", ({ expect }) => {
  expect(admin.token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
});

test("spec create, list, view, update, archive, delete", async ({ expect }) => {
  // Before every command, without a token being looked at: which server is it?
  const version = await call("GET", `${HOST}/v0/server/version`, {
    headers: { "api-version": "0.6.12" },
  });
  expect([version.status, version.body.version]).toEqual([200, "0.6.12"]);

  const created = await send("POST", "/v0/specs", {
    architecture: "x86_64",
    cpu: 4,
    disk: 10_737_418_240,
    fallback: false,
    memory: 8_589_934_592,
    name: "Intel v1",
    network: false,
    os: "linux",
  });
  const uuid = expectSpec(created, 201);
  expect(created.body).toMatchObject({ slug: "intel-v1", os: "linux", archived: null });

  const older = await send("POST", "/v0/specs", {
    architecture: "aarch64",
    cpu: 2,
    disk: 10_737_418_240,
    memory: 4_294_967_296,
    name: "Graviton",
    network: true,
    slug: "arm-v1",
  });
  expectSpec(older, 201);

  const listed = await send("GET", "/v0/specs");
  expect(listed.body.map(({ slug }: { slug: string }) => slug)).toEqual(["arm-v1", "intel-v1"]);
  expect(listed.headers.get("x-total-count")).toBe("2");
  const parameters =
    "archived=true&direction=desc&name=Intel+v1&page=1&per_page=255&search=intel&sort=created";
  const filtered = await send("GET", `/v0/specs?${parameters}`);
  expect(filtered.body).toEqual([created.body]);

  expect((await send("GET", "/v0/specs/intel-v1")).body).toEqual(created.body);
  expect((await send("GET", `/v0/specs/${uuid}`)).body).toEqual(created.body);

  const renamed = await send("PATCH", "/v0/specs/intel-v1", { name: "Intel v2", slug: "intel-v2" });
  expect(expectSpec(renamed, 200)).toBe(uuid);
  const archived = await send("PATCH", "/v0/specs/intel-v2", { archived: true });
  expectSpec(archived, 200);
  expect(archived.body.archived).toMatch(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/);
  expect((await send("GET", "/v0/specs")).body).toHaveLength(1);
  expect((await send("GET", "/v0/specs?archived=true")).body).toHaveLength(2);
  const back = await send("PATCH", "/v0/specs/intel-v2", { archived: false, fallback: false });
  expect(back.body.archived).toBeNull();

  const deleted = await send("DELETE", "/v0/specs/intel-v2");
  expect([deleted.status, deleted.text]).toEqual([204, ""]);
  // The message it prints of a failure.
  const gone = await send("GET", "/v0/specs/intel-v2");
  expect(gone.status).toBe(404);
  expect(gone.body).toMatchObject({
    request_id: gone.headers.get("x-request-id"),
    message: "Spec with id intel-v2 not found",
  });
});
