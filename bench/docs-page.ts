/**
 * How long the docs page takes to show its first operation, cold: a new browser profile, a server of static files that
 * compresses them beforehand. Swagger UI with the same document stands beside it.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, extname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { ROOT } from "../scripts/lib/project.ts";
import { browserPath, openBrowser } from "../test/e2e/browser.ts";

/** Bound on the median, for an idle machine of two cores. */
export const MAX_FIRST_OPERATION_MS = 2_500;
const ROUNDS = 10;
/** The first operation: of ours its entry in the navigation, since guides stand before it; of Swagger UI its row. */
const FIRST_OPERATION = { docs: 'a[href="#tag/sign-in/POST/token"]', "swagger.html": ".opblock" };

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

const SWAGGER = `<!doctype html><link rel="stylesheet" href="/swagger/swagger-ui.css"><div id="ui"></div>
<script src="/swagger/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({ url: "/openapi.json", dom_id: "#ui", validatorUrl: null });</script>`;

export interface PageTimes {
  /** Median, ms. */
  ms: number;
  /** Compressed, of all that was fetched until the first operation was there. */
  bytes: number;
}

/** Null without a browser. */
export async function timeDocsPage(): Promise<{ docs: PageTimes; swagger: PageTimes } | null> {
  const executable = browserPath();
  if (executable === null) return null;
  const swagger = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  const compressed = new Map<string, Buffer>();
  let bytes = 0;
  const server = createServer(({ url = "/" }, response) => {
    const path = url.split("?")[0] ?? "/";
    const file = path.startsWith("/swagger/")
      ? join(swagger, path.slice("/swagger/".length))
      : join(ROOT, "public", path === "/docs" ? "docs.html" : path);
    const isThere = path === "/swagger.html" || (existsSync(file) && statSync(file).isFile());
    if (!isThere) return void response.writeHead(404).end();
    const text = () => (path === "/swagger.html" ? Buffer.from(SWAGGER) : readFileSync(file));
    const body = compressed.get(path) ?? gzipSync(text());
    compressed.set(path, body);
    bytes += body.length;
    const type = TYPES[extname(file)] ?? "text/html; charset=utf-8";
    response.writeHead(200, { "Content-Type": type, "Content-Encoding": "gzip" }).end(body);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const browser = await openBrowser(executable);
  const times = { docs: [] as number[], "swagger.html": [] as number[] };
  const sizes = { docs: 0, "swagger.html": 0 };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const page of ["docs", "swagger.html"] as const) {
        const context = await browser.newContext();
        const tab = await context.newPage();
        bytes = 0;
        const from = performance.now();
        await tab.goto(`http://127.0.0.1:${port}/${page}`);
        await tab.locator(FIRST_OPERATION[page]).first().waitFor();
        times[page].push(performance.now() - from);
        sizes[page] = bytes;
        await context.close();
      }
    }
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0;
  return {
    docs: { ms: median(times.docs), bytes: sizes.docs },
    swagger: { ms: median(times["swagger.html"]), bytes: sizes["swagger.html"] },
  };
}
