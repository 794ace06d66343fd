/** A job of 256 nodes with 65,280 links in the console. */
import { expect, test } from "vitest";
import { accessibilityFaults, describeConsole, expectQuiet, openTab, type Stage } from "./stage.ts";
import { completeJob, ratedJob, scaledResults } from "./world.ts";

const NODES = 256;
let id = "";

async function prepare({ server: { url }, admin }: Stage): Promise<void> {
  const job = await completeJob(url, admin, {
    name: "cluster of 256",
    nodes: NODES,
    cluster: true,
    resultsOf(rank) {
      const results = scaledResults(rank === 77 ? 0.7 : 1);
      const { aggregate_results: figures } = results;
      // The recording's machine has a slow way to the host, which is a finding.
      figures.device_to_host_bandwidth_gbs = figures.host_to_device_bandwidth_gbs;
      return results;
    },
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
