/** Much of everything in the console: a job of 256 nodes with 65,280 links, and a list of 100,000 jobs. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { ROOT } from "../../../scripts/lib/project.ts";
import { patient } from "../../patience.ts";
import { browserPath, openBrowser, withBrowser } from "../browser.ts";
import { createStack } from "../stack.ts";
import { accessibilityFaults, describeConsole, expectQuiet, openTab, type Stage } from "./stage.ts";
import { completeJob, ratedJob, signInAs } from "./world.ts";

const NODES = 256;
let id = "";

async function prepare({ server: { url }, admin }: Stage): Promise<void> {
  const job = await completeJob(url, admin, {
    name: "cluster of 256",
    nodes: NODES,
    cluster: true,
    speedOf: (rank) => (rank === 77 ? 0.7 : 1),
  });
  id = job.id;
  await ratedJob(admin, id);
}

describeConsole("256 nodes in the console", prepare, (stage) => {
  test.each([390, 1_280])("have a verdict, a map and a summary at %i px", async (width) => {
    const tab = await openTab(stage(), `/console/jobs/${id}`, { width });
    const { page } = tab;
    await page.getByText("1 node is below the baseline, of 256 rated nodes.").waitFor();
    const nodes = page.getByRole("table", { name: "Nodes" });
    // The slow one comes first, wherever its rank is.
    expect(await nodes.getByRole("row").nth(1).textContent()).toContain("Node 77");
    await page.getByRole("heading", { name: "Links between the nodes" }).scrollIntoViewIfNeeded();
    await page.getByText("65,280 directed links measured, 1 of them failed.").waitFor();
    const links = page.getByRole("table", { name: "Each node's links" });
    expect(await links.getByRole("row").nth(1).textContent()).toMatch(/^Node 1.*1$/);
    await page.getByRole("button", { name: "Show all 256 nodes" }).first().click();
    expect(await nodes.getByRole("row").count()).toBe(1 + NODES);
    await page.getByLabel("Only nodes with problems").check();
    expect(await nodes.getByRole("row").count()).toBe(1 + 1);
    expect(await accessibilityFaults(page)).toEqual([]);
    expectQuiet(tab);
  });

  test("the map's colours are the links': fast within a half, slow across", async () => {
    const { page } = await openTab(stage(), `/console/jobs/${id}`);
    await page.getByRole("heading", { name: "Links between the nodes" }).scrollIntoViewIfNeeded();
    await page.getByText("65,280 directed links measured, 1 of them failed.").waitFor();
    const colourOf = (source: number, target: number) =>
      page.evaluate<number[]>(`(() => {
        const canvas = document.querySelector(".link-map canvas");
        const size = canvas.width / ${NODES};
        const at = (rank) => Math.floor((rank + 0.5) * size);
        return [...canvas.getContext("2d").getImageData(at(${target}), at(${source}), 1, 1).data];
      })()`);
    const lightness = ([red = 0, green = 0, blue = 0]: number[]) => red + green + blue;
    expect(lightness(await colourOf(10, 20))).toBeGreaterThan(
      lightness(await colourOf(10, 200)) + 100,
    );
    expect(await colourOf(1, NODES - 1), "the failed link").toEqual([214, 40, 57, 255]);
    expect((await colourOf(5, 5))[3], "no link to itself").toBe(0);
  });
});

describe.skipIf(!withBrowser())("100,000 jobs in the console", () => {
  test("are listed, filtered and paged", { timeout: patient(900_000) }, async () => {
    const stack = await createStack();
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(ROOT, "bench/seed.ts"), "--jobs", "100000", "--state", stack.options.state],
      { cwd: ROOT, encoding: "utf8" },
    );
    expect(status, stderr).toBe(0);
    const server = await stack.start();
    const browser = await openBrowser(browserPath() ?? "");
    onTestFinished(() => browser.close());
    const { adminEmail, adminPassword } = server.secrets;
    const admin = await signInAs(server.url, adminEmail, adminPassword);
    const tab = await openTab({ server, browser, admin }, "/console?per_page=100");
    const { page } = tab;
    // Some of the jobs are deleted ones.
    const { pagination } = await admin.ask("GET", "/jobs?per_page=1");
    expect(pagination.total).toBeGreaterThan(90_000);
    const total = pagination.total.toLocaleString("en");
    await page.getByText(`${total} jobs`, { exact: true }).waitFor();
    const jobs = page.getByRole("table", { name: "Jobs" });
    expect(await jobs.getByRole("row").count()).toBe(1 + 100);
    const first = await jobs.getByRole("row").nth(1).textContent();
    await page.getByRole("link", { name: "Next page" }).click();
    await page.getByText(`101–200 of ${total}`).first().waitFor();
    expect(await jobs.getByRole("row").nth(1).textContent()).not.toBe(first);
    await page.goBack();
    await page.getByText(`1–100 of ${total}`).first().waitFor();
    await page.getByLabel("State", { exact: true }).selectOption("failed");
    await page.waitForURL("**state=failed**");
    await jobs.getByText("Failed", { exact: true }).first().waitFor();
    expectQuiet(tab);
  });
});
