/** Every page of the console, at every width: what it shows, and that it breaks no rule. */
import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import {
  accessibilityFaults,
  addPerson,
  describeConsole,
  expectQuiet,
  openTab,
  type Stage,
} from "./stage.ts";
import { completeJob, joinJob, ratedJob, scaledResults } from "./world.ts";

const MACHINE = randomUUID();
const ids = { rack: "", live: "", single: "", broken: "" };
/** The longest name of a job, without a place to break it. */
const LONG = "W".repeat(60);

async function prepare({ server: { url }, admin }: Stage): Promise<void> {
  const stage = { server: { url }, admin } as Stage; // what `addPerson` reads
  const origin = { provider: "Lambda", region: "eu-west-2", order: "PO-1234" };
  const rack = await completeJob(url, admin, {
    name: "rack 12",
    nodes: 4,
    cluster: true,
    tags: ["delivery"],
    speedOf: (rank) => (rank === 2 ? 0.8 : 1),
    more: origin,
  });
  ids.rack = rack.id;
  for (const [night, speed] of [1, 1.01, 0.8].entries()) {
    const job = await completeJob(url, admin, {
      name: `nightly ${night}`,
      nodes: 1,
      speedOf: () => speed,
      machineOf: () => ({ uuid: MACHINE, hostName: "gpu-a17" }),
      more: origin,
    });
    ids.single = job.id;
    await ratedJob(admin, job.id);
  }
  const live = await admin.ask("POST", "/jobs", { name: "at work", node_count: 3, benchmarks: [] });
  ids.live = live.id;
  const first = await joinJob(url, live.token, { hostName: "w-0" });
  await first.put(0, scaledResults(1));
  await (await joinJob(url, live.token, { hostName: "w-1" })).say(0.4, "fp16 matrix products");
  await ratedJob(admin, rack.id);
  const broken = await admin.ask("POST", "/jobs", {
    name: LONG,
    node_count: 1,
    benchmarks: [],
    tags: [LONG.slice(10)],
  });
  ids.broken = broken.id;
  await (await joinJob(url, broken.token, { hostName: "w-3" })).fail(`CUDA ${"e".repeat(300)}`);
  const customer = await admin.ask("POST", "/v0/customers", { name: "Other renters" });
  const people = { customer: customer.slug };
  await addPerson(stage, { email: "renter@example.com", role: "user", ...people });
  await addPerson(stage, { email: "lead@example.com", role: "customer_admin", ...people });
}

describeConsole("pages of the console", prepare, (stage) => {
  const pages = {
    jobs: () => ["/console", "rack 12"],
    "a new job": () => ["/console/jobs/new?benchmark=host_mark", "disk_mib"],
    "a job that has ended": () => [`/console/jobs/${ids.rack}`, "Links between the nodes"],
    "a job at work": () => [`/console/jobs/${ids.live}`, "2 of 3 machines joined, 1 missing."],
    "a job of one machine": () => [`/console/jobs/${ids.single}`, "Inventory"],
    "a job with a long name that has failed": () => [`/console/jobs/${ids.broken}`, "Inventory"],
    "a node": () => [`/console/jobs/${ids.rack}/nodes/2`, "Inventory"],
    machines: () => ["/console/machines", "gpu-a17"],
    "a machine": () => [`/console/machines/${MACHINE}`, "Hardware changes"],
    "no page": () => ["/console/nowhere", "There is no page at this address"],
  } as const satisfies Record<string, () => readonly [string, string]>;

  for (const [name, of] of Object.entries(pages)) {
    test.each([390, 1_280, 2_560])(`${name} at %i px`, async (width) => {
      const [path, text] = of();
      const scheme = width === 1_280 ? "dark" : "light";
      const tab = await openTab(stage(), path, { width, scheme });
      await tab.page.getByText(text).first().waitFor();
      const overflow = await tab.page.evaluate<number>(
        "Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)",
      );
      expect(overflow, "scrolls sideways").toBe(0);
      expect(await accessibilityFaults(tab.page)).toEqual([]);
      expectQuiet(tab);
    });
  }

  test("a long name leaves the verdicts in view", async () => {
    const { page } = await openTab(stage(), "/console", { width: 1_280 });
    await page.getByRole("link", { name: LONG }).first().waitFor();
    const column = await page.getByRole("columnheader", { name: "Verdict" }).boundingBox();
    expect((column?.x ?? 0) + (column?.width ?? 1_280)).toBeLessThan(1_000);
    await page.goto(`${stage().server.url}/console/jobs/${ids.broken}`);
    const node = page.getByRole("table", { name: "Nodes" });
    await node.waitFor();
    expect((await node.boundingBox())?.width).toBeLessThan(1_280);
  });

  test("the count of all slow jobs stands beside the whole list alone", async () => {
    const { page } = await openTab(stage(), "/console");
    await page.getByText(/^[0-9]+ jobs? ha(s|ve) underperforming nodes$/).waitFor();
    await page.goto(`${stage().server.url}/console?name=work`);
    await page.getByText("1 job", { exact: true }).waitFor();
    expect(await page.getByText("underperforming nodes").count()).toBe(0);
  });

  test("the sign-in, by password and by token, breaks no rule", async () => {
    const tab = await openTab(stage(), "/console", { as: null, width: 390 });
    await tab.page.getByRole("heading", { name: "Sign in" }).waitFor();
    expect(await accessibilityFaults(tab.page)).toEqual([]);
    await tab.page.getByRole("button", { name: "Use an API token" }).click();
    await tab.page.getByLabel("API token").waitFor();
    expect(await accessibilityFaults(tab.page)).toEqual([]);
    expectQuiet(tab);
  });

  test("the verdict comes first, with each figure beside its baseline", async () => {
    const { page } = await openTab(stage(), `/console/jobs/${ids.rack}`);
    await page.getByText("1 node is below the baseline, of 4 rated nodes.").waitFor();
    const headings = await page.getByRole("heading", { level: 2 }).allTextContents();
    expect(headings[0]).toBe("Verdict");
    const row = page.getByRole("row", { name: /^BF16/ });
    expect(await row.textContent()).toMatch(/Underperforming.*212 TFLOPS.*265 TFLOPS.*80 %/);
    await row.getByRole("img", { name: "4 nodes, from 80 % to 100 % of the baseline" }).waitFor();
    const slow = page.getByRole("link", { name: "Node 2" }).first();
    await slow.click();
    await page.getByRole("heading", { name: "Node 2", level: 1 }).waitFor();
    await page.getByRole("heading", { name: "Bandwidth between the GPUs" }).waitFor();
  });

  test("the map of links has a table behind it, and single links on demand", async () => {
    const { page } = await openTab(stage(), `/console/jobs/${ids.rack}`);
    await page.getByRole("heading", { name: "Links between the nodes" }).scrollIntoViewIfNeeded();
    await page.getByText("12 directed links measured, 1 of them failed.").waitFor();
    const map = page.getByRole("img", { name: /^Heat map of the bandwidth between 4 nodes/ });
    await map.focus();
    await page.keyboard.press("ArrowRight");
    await page.getByText(/^0 → 1: 9\d.* Gbit\/s, 0\.\d+ ms$/).waitFor();
    await page.getByLabel("Single links of node").selectOption("1");
    const links = page.getByRole("table", { name: "Single links of node 1" });
    expect(await links.getByRole("row").count()).toBe(1 + 6);
    await links.getByText("10.0.0.4:7117: connection refused").waitFor();
    await page.getByLabel("Latency", { exact: true }).check();
    await page.getByRole("img", { name: /^Heat map of the latency/ }).waitFor();
  });

  test("a machine shows its figures as lines, with the drop marked and in the table", async () => {
    const { page } = await openTab(stage(), `/console/machines/${MACHINE}`);
    await page.getByRole("img", { name: /^BF16: 3 figures, 1 drop\./ }).waitFor();
    await page.getByText("All figures").click();
    const table = page.getByRole("table", { name: "All figures" });
    await table
      .getByText(/^▼ 79 %$/)
      .first()
      .waitFor();
    await page.getByText("Its GPUs have not changed.").waitFor();
    const jobs = page.getByRole("table", { name: "Jobs on this machine" });
    expect(await jobs.getByRole("row").count()).toBe(1 + 3);
  });

  test("a person sees only what the person may see, and is told what to do first", async () => {
    const renter = await openTab(stage(), "/console", { as: "renter@example.com" });
    await renter.page.getByRole("heading", { name: "No jobs yet" }).waitFor();
    await renter.page.goto(`${stage().server.url}/console/jobs/${ids.rack}`);
    await renter.page.getByText("Not found.").waitFor();
    const lead = await openTab(stage(), "/console/machines", { as: "lead@example.com" });
    await lead.page.getByRole("heading", { name: "No machines yet" }).waitFor();
    expectQuiet(renter);
    expectQuiet(lead);
  });
});
