/** Links to one job, for whoever has them: made, shown and revoked in the browser. */
import { expect, test } from "vitest";
import {
  accessibilityFaults,
  describeConsole,
  expectQuiet,
  openTab,
  PATIENCE_MS,
  type Stage,
} from "./stage.ts";
import { completeJob, joinJob, ratedJob } from "./world.ts";

const ids = { done: "", live: "" };

async function prepare({ server: { url }, admin }: Stage): Promise<void> {
  const done = await completeJob(url, admin, {
    name: "rack 12",
    nodes: 3,
    cluster: true,
    tags: ["secret-tag"],
    speedOf: (rank) => (rank === 2 ? 0.8 : 1),
    more: { provider: "Lambda", region: "eu-west-2", order: "PO-1234" },
  });
  ids.done = done.id;
  await ratedJob(admin, done.id);
  const live = await admin.ask("POST", "/jobs", { name: "at work", node_count: 3, benchmarks: [] });
  ids.live = live.id;
  await (await joinJob(url, live.token)).say(0.5, "fp16 matrix products");
}

/** Makes a link on the job's page, as its owner does. */
async function share(stage: Stage, id: string) {
  const owner = await openTab(stage, `/console/jobs/${id}`);
  await owner.page.getByRole("button", { name: "Share" }).click();
  await owner.page.getByLabel("Works for").selectOption("1");
  await owner.page.getByRole("button", { name: "Create a link" }).click();
  const link = await owner.page.getByRole("textbox", { name: "Link" }).inputValue();
  return { owner, link };
}

describeConsole("a shared job", prepare, (stage) => {
  test.each([390, 1_280, 2_560])("shows its verdict without a session at %i px", async (width) => {
    const { owner, link } = await share(stage(), ids.done);
    expect(await accessibilityFaults(owner.page)).toEqual([]);
    expectQuiet(owner);
    const { url } = stage().server;
    expect(link).toMatch(new RegExp(`^${url}/console/shared#assay_share_\\w+$`));
    const tab = await openTab(stage(), link.slice(url.length), { as: null, width });
    const asked: string[] = [];
    tab.page.on("request", (request) => asked.push(request.url()));
    await tab.page.getByText("1 node is below the baseline, of 3 rated nodes.").waitFor();
    await tab.page.getByRole("heading", { name: "rack 12" }).waitFor();
    await tab.page.getByText(/^Shared with you/).waitFor();
    const nodes = tab.page.getByRole("table", { name: "Nodes" });
    // All have a finding of their recording: the slow one comes before them.
    expect(await nodes.getByRole("row").nth(1).textContent()).toContain("Node 2");
    await tab.page
      .getByRole("heading", { name: "Links between the nodes" })
      .scrollIntoViewIfNeeded();
    await tab.page.getByText("6 directed links measured, 1 of them failed.").waitFor();
    await tab.page.getByLabel("Single links of").selectOption("1");
    await tab.page.getByText("[address]: connection refused").waitFor();
    const text = await tab.page.evaluate<string>("document.body.innerText");
    for (const secret of [
      "PO-1234",
      stage().server.secrets.adminEmail,
      "Administrator",
      "10.0.0.4",
    ]) {
      expect(text).not.toContain(secret);
    }
    const links = await tab.page.evaluate<string[]>(
      '[...document.querySelectorAll("main a")].map(({ href }) => href)',
    );
    expect(links, "leads nowhere that needs a session").toEqual([]);
    const paths = asked.map((each) => new URL(each).pathname);
    const calls = paths.filter((path) => path.startsWith("/api/") || path.startsWith("/v0/"));
    for (const path of calls)
      expect(path).toMatch(/^\/api\/silicon-mark\/v1\/shared\/\w+(?:\/results)?$/);
    const overflow = await tab.page.evaluate<number>(
      "Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)",
    );
    expect(overflow).toBe(0);
    expect(await accessibilityFaults(tab.page)).toEqual([]);
    expectQuiet(tab);
  });

  test("shows a live job's progress", async () => {
    const { link } = await share(stage(), ids.live);
    const tab = await openTab(stage(), link.slice(stage().server.url.length), { as: null });
    await tab.page.getByText("1 of 3 machines joined, 2 missing.").waitFor();
    expect(await tab.page.getByText("Join command").count()).toBe(0);
    expect(await tab.page.getByRole("textbox").count()).toBe(0);
    expectQuiet(tab);
  });

  test("waits for the verdict of a job that has just ended", async () => {
    const { link } = await share(stage(), ids.done);
    const { page } = await openTab(stage(), "/console/nowhere", { as: null });
    let isRated = false;
    await page.route("**/api/silicon-mark/v1/shared/*", async (route) => {
      const response = await route.fetch();
      const job = await response.json();
      const unrated = { ended_at: new Date().toISOString(), scoreboard_summary: null };
      await route.fulfill({ response, json: isRated ? job : { ...job, ...unrated } });
    });
    await page.goto(link);
    await page.getByRole("status", { name: "Rating the job …" }).waitFor();
    isRated = true;
    await page.getByText("1 node is below the baseline, of 3 rated nodes.").waitFor();
  });

  test("says in words that a link does not work: revoked, or incomplete", async () => {
    const { owner, link } = await share(stage(), ids.done);
    const path = link.slice(stage().server.url.length);
    const revoke = owner.page.getByRole("button", { name: "Revoke" });
    const { shares } = await stage().admin.ask("GET", `/jobs/${ids.done}/shares`);
    // The list is read again after a link was made.
    await expect.poll(() => revoke.count(), { timeout: PATIENCE_MS }).toBe(shares.length);
    for (let left = shares.length; left > 0; left--) {
      const reply = owner.page.waitForResponse((each) => each.request().method() === "DELETE");
      await revoke.first().click();
      expect((await reply).status()).toBe(204);
      await expect.poll(() => revoke.count(), { timeout: PATIENCE_MS }).toBe(left - 1);
    }
    await owner.page.getByText("There is no valid link to this job.").waitFor();
    const tab = await openTab(stage(), path, { as: null });
    await tab.page.getByText(/^This link does not work/).waitFor();
    expect(await accessibilityFaults(tab.page)).toEqual([]);
    const cut = await openTab(stage(), path.slice(0, -4), { as: null });
    await cut.page.getByText(/^This link does not work/).waitFor();
    expectQuiet(cut);
  });
});
