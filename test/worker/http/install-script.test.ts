/** `/cli`: the script that installs the command line, with the server's address in it, and nothing that a client made up. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { appDeps } from "../harness/client.ts";

const SCRIPT = "#!/bin/sh\nhost='@ORIGIN@' rest='@ORIGIN@'\n";

async function get(url: string, more: { config?: object; address?: string; method?: string } = {}) {
  const { config = {}, address = "192.0.2.7", method = "GET" } = more;
  const connect = () => {
    throw new Error("Nothing connects to static files");
  };
  const assets = { fetch: async () => new Response(SCRIPT), connect };
  const deps = appDeps({ config: readConfig({ ...env, ...config }) });
  const app = await createApp({ ...deps, assets });
  const headers = { "cf-connecting-ip": address };
  return app.fetch(new Request(url, { method, headers }), env, createExecutionContext());
}

test.for([
  [
    "https://assay.example/cli",
    { PUBLIC_ORIGIN: "https://public.example" },
    "https://public.example",
  ],
  ["https://assay.example/cli", { ENVIRONMENT: "production" }, "https://assay.example"],
  ["https://a'$(reboot)'.example/cli", { ENVIRONMENT: "production" }, ""],
  ["http://localhost:8787/cli", { ENVIRONMENT: "development" }, "http://localhost:8787"],
  ["https://evil.example/cli", { ENVIRONMENT: "development" }, ""],
] as const)("%s with %j has the address %j", async ([url, config, origin], { expect }) => {
  const address = url.includes("localhost") ? "127.0.0.1" : "192.0.2.7";
  const reply = await get(url, { config: { PUBLIC_ORIGIN: undefined, ...config }, address });
  expect(reply.status).toBe(200);
  expect(reply.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  expect(await reply.text()).toBe(`#!/bin/sh\nhost='${origin}' rest='@ORIGIN@'\n`);
});

test("other methods are refused with the one that works", async () => {
  const reply = await get("https://assay.example/cli", { method: "POST" });
  expect(reply.status).toBe(405);
  expect(reply.headers.get("allow")).toContain("GET");
  await reply.text();
});
