/**
 * Writes the pictures of docs/guide/console.md: the list of jobs and one job, as the console shows them for jobs whose
 * machines send recorded figures, whose verdicts say REPLAYED. Needs Chromium (`CHROMIUM`, or one on the PATH).
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { browserPath, openBrowser } from "../test/e2e/browser.ts";
import {
  type Api,
  completeJob,
  joinJob,
  ratedJob,
  scaledResults,
  signInAs,
} from "../test/e2e/console/world.ts";
import { ROOT } from "./lib/project.ts";
import { findFreePort, startServer } from "./lib/server.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const FOLDER = join(ROOT, "docs/guide");
const VIEWPORT = { width: 1_280, height: 860 };

const executable = browserPath();
if (executable === null) {
  console.error("Chromium is not installed. Install it, or set CHROMIUM.");
  process.exit(1);
}
const stopping = stopSignal();
const folder = mkdtempSync(join(tmpdir(), "assay-pictures-"));
try {
  const server = await startServer(
    {
      port: await findFreePort(),
      ip: "127.0.0.1",
      state: join(folder, "state"),
      secretsFile: join(folder, ".dev.vars"),
      rateReplays: true,
      onOutput: () => {},
    },
    stopping.signal,
  );
  const browser = await openBrowser(executable);
  try {
    const { adminEmail, adminPassword } = server.secrets;
    const api = await signInAs(server.url, adminEmail, adminPassword);
    const job = await makeJobs(server.url, api);
    await take(browser, { url: `${server.url}/console`, wait: "rack 12", name: "jobs" }, api);
    const path = `/console/jobs/${job}`;
    await take(browser, { url: server.url + path, wait: "Underperforming", name: "job" }, api);
  } finally {
    await browser.close();
    await server.stop();
  }
} catch (error) {
  console.error(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = stopping.exitCode() || 1;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Answers the id of the job that has a picture of its own. */
async function makeJobs(url: string, api: Api): Promise<string> {
  const origin = { provider: "Lambda", region: "eu-west-2" };
  for (const night of ["Monday", "Tuesday", "Wednesday"]) {
    const name = `nightly, ${night}`;
    const options = { name, nodes: 2, tags: ["nightly"], replayed: true, more: origin };
    const job = await completeJob(url, api, options);
    await ratedJob(api, job.id);
  }
  const broken = await api.ask("POST", "/jobs", { name: "rack 11", node_count: 1, benchmarks: [] });
  await (await joinJob(url, broken.token)).fail("CUDA error 999: unknown error");
  const rack = await completeJob(url, api, {
    name: "rack 12",
    nodes: 8,
    cluster: true,
    tags: ["delivery"],
    description: "Delivery check of the eight new nodes",
    replayed: true,
    speedOf: (rank) => (rank === 5 ? 0.81 : 1 - (rank % 3) * 0.012),
    more: origin,
  });
  await ratedJob(api, rack.id);
  const live = await api.ask("POST", "/jobs", {
    name: "rack 13",
    node_count: 4,
    benchmarks: ["cluster_network"],
    tags: ["delivery"],
    ...origin,
  });
  for (const progress of [0.7, 0.4]) {
    const machine = await joinJob(url, live.token, { uuid: randomUUID() });
    await machine.say(progress, "fp16 matrix products");
  }
  const done = await joinJob(url, live.token);
  await done.put(0, { ...scaledResults(1), replayed: true });
  return rack.id;
}

async function take(
  browser: Browser,
  { url, wait, name }: { url: string; wait: string; name: string },
  { token }: Api,
): Promise<void> {
  const context = await browser.newContext({ viewport: VIEWPORT, colorScheme: "light" });
  const page = await context.newPage();
  const session = JSON.stringify({ token, refreshToken: null, renewAt: null });
  await page.addInitScript(`sessionStorage.setItem("assay.session", ${JSON.stringify(session)});`);
  await page.goto(url);
  await page.getByText(wait).first().waitFor();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await page.waitForLoadState("networkidle").catch(() => undefined);
  const path = join(FOLDER, `console-${name}.png`);
  await page.screenshot({ path });
  await context.close();
  console.log(`Wrote ${path}`);
}
