/** A job in the console from its creation to its verdict, with real agents on the other side. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { words } from "../../../console/words.ts";
import { fetchAgent, startAgent } from "../../../scripts/lib/agents.ts";
import { ROOT } from "../../../scripts/lib/project.ts";
import { findFreePort } from "../../../scripts/lib/server.ts";
import { patient } from "../../patience.ts";
import { describeConsole, expectQuiet, openTab, type Stage } from "./stage.ts";
import { joinJob } from "./world.ts";

const REPLAYS = ["a100-sxm4-80gb-x2.json", "a100-sxm4-40gb-x8-slow.json"];

async function startAgents({ server: { url } }: Stage, token: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "assay-console-"));
  const program = await fetchAgent(url, folder);
  for (const [index, replay] of REPLAYS.entries()) {
    const agent = startAgent({
      program,
      index,
      host: url,
      token,
      clusterAddress: `127.0.0.1:${await findFreePort()}`,
      replayFile: join(ROOT, "agent/replays", replay),
    });
    onTestFinished(() => agent.stop());
  }
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
}

/** No verdict on a recording stands anywhere without saying so. */
async function expectAllReplayed(page: Page): Promise<void> {
  const badges = await page.locator(".badge").allTextContents();
  const verdicts = badges.filter((badge) =>
    Object.values(words.verdicts).some((verdict) => badge.startsWith(verdict)),
  );
  expect(verdicts.length).toBeGreaterThan(1);
  expect(verdicts.filter((verdict) => !verdict.endsWith("(REPLAYED)"))).toEqual([]);
}

describeConsole(
  "a live job in the console",
  async () => {},
  (stage) => {
    test("is created by the form, joined by its command, followed live, and rated", {
      timeout: patient(480_000),
    }, async () => {
      const tab = await openTab(stage(), "/console/jobs/new");
      const { page } = tab;
      await page.getByLabel("Name").fill("from the console");
      await page.getByLabel("Machines", { exact: true }).fill("1");
      await page.getByLabel("Tags").fill("one, two");
      await page.getByLabel("Provider").fill("Lambda");
      await page.getByRole("checkbox", { name: /Cluster Network/ }).check();
      await page.getByLabel("duration_seconds").fill("99");
      await page.getByRole("button", { name: "Create the job" }).click();
      await page.getByText("Cluster Network needs at least 2 machines.").waitFor();
      await page.getByText("0.5 to 30.", { exact: true }).waitFor();
      await page.getByLabel("Machines", { exact: true }).fill("2");
      await page.getByLabel("duration_seconds").fill("0.5");
      await page.getByRole("button", { name: "Create the job" }).click();
      await page.getByRole("heading", { name: "from the console", level: 1 }).waitFor();
      await page.getByText("0 of 2 machines joined, 2 missing.").waitFor();
      const command = await page.getByRole("textbox", { name: "Join command" }).inputValue();
      // People come back for it.
      await page.reload();
      const again = page.getByRole("textbox", { name: "Join command" });
      expect(await again.inputValue()).toBe(command);
      const [, token = ""] = /--token (\S+)$/.exec(command) ?? [];
      expect(command).toContain(`${stage().server.url}/agent | sh`);
      await page.getByText("Live", { exact: true }).waitFor();

      await startAgents(stage(), token);
      // Nothing is clicked from here on: the page follows by itself. What it says while all are at work may be over at once.
      await page
        .getByText(/^node \d ended quick_mark: completed$/)
        .first()
        .waitFor();
      await page.getByText(/^1 node is below the baseline, of \d rated nodes?\.$/).waitFor();
      await page.getByText("REPLAYED: these figures are recordings").waitFor();
      // The verdict on the job, and on each of its nodes; figures stand below it.
      for (const at of [0, 1, 2])
        await page
          .getByText(/\(REPLAYED\)$/)
          .nth(at)
          .waitFor();
      await expectAllReplayed(page);
      await page.getByRole("link", { name: "PDF report" }).waitFor();
      await page.getByText("2 directed links measured.").waitFor();
      await page.getByRole("link", { name: "Node 0" }).first().click();
      await page.getByRole("heading", { name: "Node 0", level: 1 }).waitFor();
      await page
        .getByText(/\(REPLAYED\)$/)
        .first()
        .waitFor();
      await expectAllReplayed(page);
      await page.goto(`${stage().server.url}/console/jobs`);
      await page.getByText("Underperforming (REPLAYED)").waitFor();
      await page.goto(`${stage().server.url}/console/machines`);
      const slow = page.getByRole("row").filter({ hasText: "Underperforming (REPLAYED)" });
      await slow.getByRole("link").click();
      await page.getByRole("table", { name: "Jobs on this machine" }).waitFor();
      // Of the machine, and of its job.
      for (const at of [0, 1]) {
        await page.getByText("Underperforming (REPLAYED)", { exact: true }).nth(at).waitFor();
      }
      expectQuiet(tab);
    });

    test("where streams are cut, the page asks by itself", async () => {
      const { server, admin } = stage();
      const job = await admin.ask("POST", "/jobs", {
        name: "polled",
        node_count: 1,
        benchmarks: [],
      });
      const tab = await openTab(stage(), "/console/jobs");
      await tab.page.route("**/events", (route) => route.abort());
      await tab.page.getByRole("link", { name: "polled", exact: true }).click();
      await tab.page.getByText("Updating every few seconds").waitFor();
      await (await joinJob(server.url, job.token)).fail("CUDA error 999: unknown error");
      await tab.page.getByText("CUDA error 999: unknown error").first().waitFor();
      await tab.page.getByText("Failed", { exact: true }).first().waitFor();
      const refused = tab.page.getByRole("table", { name: "Refused and failed" });
      await refused.getByText("CUDA error 999: unknown error").waitFor();
    });

    test("a step counts what has failed apart from what is done", async () => {
      const { server, admin } = stage();
      const order = { name: "half failed", node_count: 2, benchmarks: [] };
      const job = await admin.ask("POST", "/jobs", order);
      await (await joinJob(server.url, job.token)).fail("CUDA error 999: unknown error");
      const tab = await openTab(stage(), `/console/jobs/${job.id}`);
      await tab.page.getByText("0 of 2 done, 1 failed", { exact: true }).waitFor();
      await tab.page.getByText("1 of 2 machines joined, 1 missing.").waitFor();
    });

    test("a lost node shows no progress beside its state", async () => {
      const { server, admin } = stage();
      const order = { name: "lost node", node_count: 2, benchmarks: [] };
      const job = await admin.ask("POST", "/jobs", order);
      await (await joinJob(server.url, job.token)).say(0.4, "fp16 matrix products");
      const { page } = await openTab(stage(), `/console/jobs/${job.id}`);
      const nodes = page.getByRole("table", { name: "Nodes" });
      await nodes.getByRole("progressbar", { name: "40 %" }).waitFor();
      // As the server tells it once the node's lease is over: failed, but not ended, for it may return.
      const lost = { state: "failed", failed_message: "no contact for 150 s", ended_at: null };
      const [task] = (await admin.ask("GET", `/jobs/${job.id}`)).tasks;
      await page.route(
        new RegExp(`/v1/(jobs/${job.id}|tasks/${task.id}/results)(\\?|$)`),
        async (route) => {
          const response = await route.fetch();
          const body = await response.json();
          const json =
            body.tasks === undefined
              ? { ...body, ...lost }
              : { ...body, tasks: [{ ...body.tasks[0], ...lost }] };
          await route.fulfill({ response, json });
        },
      );
      await page.reload();
      await nodes.getByText("Failed", { exact: true }).waitFor();
      await nodes.getByText(lost.failed_message).waitFor();
      expect(await nodes.getByRole("progressbar").count()).toBe(0);
      await nodes.getByRole("link", { name: "Node 0" }).click();
      await page.getByRole("heading", { name: "Node 0", level: 1 }).waitFor();
      await page.getByText(lost.failed_message).first().waitFor();
      expect(await page.getByText("Progress", { exact: true }).count()).toBe(0);
    });

    test("a job is aborted and deleted from its page", async () => {
      const { admin } = stage();
      const job = await admin.ask("POST", "/jobs", {
        name: "unwanted",
        node_count: 1,
        benchmarks: [],
      });
      const { page } = await openTab(stage(), `/console/jobs/${job.id}`);
      await page.getByRole("button", { name: "Abort" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("button", { name: "Abort" }).click();
      await page.getByText("Aborted", { exact: true }).first().waitFor();
      // The button is gone; the focus is where it stood.
      const focused = () => page.evaluate<string>("document.activeElement.className");
      await expect.poll(focused, { timeout: patient(60_000) }).toBe("actions end");
      await page.getByRole("button", { name: "Delete" }).click();
      await dialog.getByRole("button", { name: "Delete" }).click();
      await page.getByRole("heading", { name: "Jobs", level: 1 }).waitFor();
      await page.goto(`${stage().server.url}/console/jobs/${job.id}`);
      await page.getByText("Not found.").waitFor();
    });
  },
);
