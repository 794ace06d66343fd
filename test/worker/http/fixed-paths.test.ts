/** Every path of the API under every method: a fixed path is never taken for an id in its place. */
import { describe, test } from "vitest";
import { describedRoutes } from "../../../src/app.ts";
import { appDeps, call, expectError } from "../harness/client.ts";

const ORIGIN = "https://assay.test";
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const routes = (await describedRoutes(appDeps())).map(({ route }) => route);
/** `me` is a person in the place of `{user}`, and has the methods of that path too. */
const methodsOf = (path: string) => {
  const paths = [path, path.replace("/users/me", "/users/{user}")];
  const methods = routes.flatMap((route) => (paths.includes(route.path) ? [route.method] : []));
  return [...new Set(methods.map((method) => method.toUpperCase()))];
};
const paths = [...new Set(routes.map(({ path }) => path))];
const concrete = (path: string) => path.replaceAll(/\{\w+\}/g, "7554621440");

test("there are fixed paths in the place of an id", ({ expect }) => {
  const places = paths.filter((path) =>
    paths.some(
      (wider) =>
        wider !== path && new RegExp(`^${wider.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(path),
    ),
  );
  expect(places).toEqual(
    expect.arrayContaining([
      ...["current", "anonymous", "delete", "tags", "stats"].map(
        (word) => `/api/silicon-mark/v1/jobs/${word}`,
      ),
      "/v0/users/me",
    ]),
  );
});

describe.each(paths)("%s", (path) => {
  const served = methodsOf(path);
  const head = served.includes("GET") ? ["HEAD"] : [];
  const allow = [...served, ...head, "OPTIONS"].sort().join(", ");

  test.for(METHODS.filter((method) => !served.includes(method)))(
    "%s: 405 with Allow",
    async (method, { expect }) => {
      const reply = await call(method, ORIGIN + concrete(path));
      const message = `${concrete(path)} does not answer ${method}`;
      expectError(expect, reply, 405, "METHOD_NOT_ALLOWED", message);
      expect(reply.headers.get("allow")).toBe(allow);
    },
  );

  test("OPTIONS names the same methods, and its own methods reach it", async ({ expect }) => {
    const options = await call("OPTIONS", ORIGIN + concrete(path));
    expect([options.status, options.headers.get("allow")]).toEqual([204, allow]);
    for (const method of [...served, ...head]) {
      expect((await call(method, ORIGIN + concrete(path))).status, method).not.toBe(405);
    }
    if (head.length === 0) expect((await call("HEAD", ORIGIN + concrete(path))).status).toBe(405);
  });
});
