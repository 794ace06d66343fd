/**
 * How fast the console shows its first content, cold, on loopback: a new browser profile, the whole stack behind it, with
 * jobs in the list. Read by the browser's own PerformanceObserver.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort, startServer } from "../scripts/lib/server.ts";
import { browserPath, openBrowser } from "../test/e2e/browser.ts";
import { signInAs } from "../test/e2e/console/world.ts";

/** Bound on the median, for an idle machine of two cores. */
export const MAX_FIRST_CONTENT_MS = 1_000;
/** Bound on the largest: the threshold of a good page by web.dev. */
export const MAX_SHIFT = 0.1;
const ROUNDS = 10;
const JOBS = 20;

export interface ConsoleTimes {
  /** Medians, ms from the start of the navigation. */
  firstContentMs: number;
  /** Until the list of jobs is there. */
  listMs: number;
  /** The largest of all visits. */
  shift: number;
  /** Of scripts, styles and the page, as they travel. */
  bytes: number;
}

const OBSERVE = `
  globalThis.seen = { firstContentMs: 0, shift: 0 };
  new PerformanceObserver((list) => {
    for (const { name, startTime } of list.getEntries()) {
      if (name === "first-contentful-paint") globalThis.seen.firstContentMs = startTime;
    }
  }).observe({ type: "paint", buffered: true });
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput } of list.getEntries()) {
      if (!hadRecentInput) globalThis.seen.shift += value;
    }
  }).observe({ type: "layout-shift", buffered: true });
`;

/** Null without a browser. */
export async function timeConsole(): Promise<ConsoleTimes | null> {
  const executable = browserPath();
  if (executable === null) return null;
  const folder = mkdtempSync(join(tmpdir(), "assay-console-"));
  const server = await startServer(
    {
      port: await findFreePort(),
      ip: "127.0.0.1",
      state: join(folder, "state"),
      secretsFile: join(folder, ".dev.vars"),
      onOutput: () => {},
    },
    new AbortController().signal,
  );
  const browser = await openBrowser(executable);
  const visits: ConsoleTimes[] = [];
  try {
    const { adminEmail, adminPassword } = server.secrets;
    const admin = await signInAs(server.url, adminEmail, adminPassword);
    for (let job = 0; job < JOBS; job++) {
      await admin.ask("POST", "/jobs", { name: `job ${job}`, node_count: 1, benchmarks: [] });
    }
    const session = { token: admin.token, refreshToken: null, renewAt: null };
    for (let round = 0; round < ROUNDS; round++) {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.addInitScript(
        `sessionStorage.setItem("assay.session", ${JSON.stringify(JSON.stringify(session))}); ${OBSERVE}`,
      );
      await page.goto(`${server.url}/console`);
      await page.getByText(`job ${JOBS - 1}`).waitFor();
      visits.push(
        await page.evaluate<ConsoleTimes>(`({
          ...globalThis.seen,
          listMs: performance.now(),
          bytes: [...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")]
            .filter(({ initiatorType }) => initiatorType !== "fetch")
            .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
        })`),
      );
      await context.close();
    }
  } finally {
    await browser.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  const median = (name: "firstContentMs" | "listMs" | "bytes") =>
    visits.map((visit) => visit[name]).toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0;
  return {
    firstContentMs: median("firstContentMs"),
    listMs: median("listMs"),
    bytes: median("bytes"),
    shift: Math.max(...visits.map(({ shift }) => shift)),
  };
}
