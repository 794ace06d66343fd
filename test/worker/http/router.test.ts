/** The router finds what Hono's own finds, for every path of the API and for those that are nearly one. */
import { TrieRouter } from "hono/router/trie-router";
import { describe, test } from "vitest";
import { createApp, describedRoutes } from "../../../src/app.ts";
import { SegmentRouter } from "../../../src/http/router.ts";
import { appDeps } from "../harness/client.ts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const WORDS = ["current", "delete", "anonymous", "7554621440", "me", "", "%2F"];

async function routers() {
  const { routes: served } = await createApp(appDeps());
  const described = (await describedRoutes(appDeps())).map(({ route: { method, path } }) => ({
    method: method.toUpperCase(),
    path: path.replaceAll(/{(.+?)}/g, ":$1"),
  }));
  const routes = [...served, ...described];
  const [own, hono] = [new SegmentRouter<number>(), new TrieRouter<number>()];
  for (const [at, { method, path }] of routes.entries()) {
    own.add(method, path, at);
    hono.add(method, path, at);
  }
  return { own, hono, paths: [...new Set(routes.map(({ path }) => path))] };
}

/** Paths with each parameter as each word, and with a segment more and less. */
function pathsLike(pattern: string): string[] {
  return WORDS.flatMap((word) => {
    const path = pattern.replaceAll(/:\w+/g, word).replace(/\*$/, "any");
    return [path, `${path}/more`, path.slice(0, path.lastIndexOf("/")) || "/"];
  });
}

describe("SegmentRouter", () => {
  test("finds the handlers and parameters of Hono's TrieRouter", async ({ expect }) => {
    const { own, hono, paths } = await routers();
    const tried = [...new Set(paths.flatMap(pathsLike))].filter((path) => !path.includes("//"));
    expect(tried.length).toBeGreaterThan(300);
    for (const path of tried) {
      for (const method of METHODS) {
        const [found] = own.match(method, path);
        const [expected] = hono.match(method, path);
        const plain = expected.map(([handler, params]) => [handler, { ...params }]);
        // An empty segment is no parameter: the app drops them from paths.
        if (!path.endsWith("/")) expect([method, path, found]).toEqual([method, path, plain]);
      }
    }
  });

  test("keeps the order in which routes were added", ({ expect }) => {
    const router = new SegmentRouter<string>();
    router.add("ALL", "/*", "first");
    router.add("GET", "/jobs/:id", "parameter");
    router.add("GET", "/jobs/current", "word");
    router.add("ALL", "*", "last");
    const names = (path: string) => router.match("GET", path)[0].map(([name]) => name);
    expect(names("/jobs/current")).toEqual(["first", "parameter", "word", "last"]);
    expect(names("/jobs/1")).toEqual(["first", "parameter", "last"]);
    expect(names("/jobs/")).toEqual(["first", "last"]);
    expect(router.match("GET", "/jobs/1")[0][1]).toEqual(["parameter", { id: "1" }]);
    expect(router.match("GET", "/jobs/:id")[0][1]).toEqual(["parameter", { id: ":id" }]);
  });

  test.for(["/jobs/:id{[0-9]+}", "/files/*", "/jobs/:id?"])("takes no %s", (path, { expect }) => {
    expect(() => new SegmentRouter<string>().add("GET", path, "handler")).toThrow(TypeError);
  });
});
